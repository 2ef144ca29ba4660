"""Any iterable of records, of any length, into encoded chunks, in slices that let the event loop breathe.

Chunks are filled greedily: as many records as fit in ``chunk_size`` and ``max_bytes``. So their limits depend on the
records alone and not on how the source hands them over, and a source read again falls into the same chunks.

A slice is at most 500 records, and fewer where they take long to read, check and encode, which is measured as it goes.
After slices that took a millisecond together the loop is let go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from itertools import islice
from time import perf_counter
from types import TracebackType
from typing import Any

import attrs
import msgspec

from mobiz_async.encoding import ENCODING_ERRORS, encode, encode_into
from mobiz_async.errors import InvalidRecordError, Reason, SourceError
from mobiz_async.recipients.schema import plain
from mobiz_async.recipients.stages import Problem, Stage, runs
from mobiz_async.recipients.values import fault_of
from mobiz_async.unseen import hide

__all__ = ["MAX_CHUNK_BYTES", "Chunk", "Chunker", "Slices", "split"]

MAX_CHUNK_BYTES = 4 << 20
"""Default limit of a body. The vendor names none; gateways commonly take more than this."""

FIRST_SLICE = 250
LARGEST_SLICE = 500
LONGEST_HOLD = 0.001
"""Seconds after which the loop is let go, and of a single slice before slices get smaller."""
_TURNS = 5
"""Of the loop, given to others after each hold. A web handler needs about that many from a request to its answer, and
with one between two holds it would wait for as many holds. Five idle ones cost a sixtieth of a hold."""

_OPENING_BRACKET, _COMMA, _CLOSING_BRACKET = b"[,]"


@attrs.frozen(eq=False)
class Chunk:
    """Encoded records that travel together. ``rows`` are (first row, length) of each unbroken run of source rows."""

    index: int
    first_record: int
    count: int
    rows: tuple[tuple[int, int], ...]
    body: bytearray = attrs.field(repr=False)


_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


def split(body: bytes | bytearray) -> list[msgspec.Raw]:
    """Return the encoded records of a chunk's body."""
    return _split(body)


class Slices:
    """Reads any iterable in slices, and adapts their size to how long the loop was held for the last one."""

    def __init__(self, source: Iterable[Any] | AsyncIterable[Any]) -> None:
        """Take a sync or async iterable. Raises ``TypeError`` for anything else, or for a text or a mapping."""
        if isinstance(source, (str, bytes, bytearray, Mapping)) or _is_named_tuple(source):
            raise TypeError("records must be an iterable of records, not a single text or record")
        self._async: AsyncIterator[Any] | None = None
        self._sync: Iterator[Any] | None = None
        if isinstance(source, AsyncIterable):
            self._async = aiter(source)
        elif isinstance(source, Iterable):
            self._sync = iter(source)
        else:
            raise TypeError("records must be an iterable or an async iterable")
        self._size = FIRST_SLICE
        self.read = 0
        """Records taken from the source so far."""
        self.error: SourceError | None = None
        """Set when the source raised; what it gave before is still handed over."""
        self.left: list[Any] = []
        """Taken from the source when the reading was cancelled, and not handed over."""

    @property
    def is_async(self) -> bool:
        """Whether the source may suspend while it is read."""
        return self._async is not None

    async def next(self) -> list[Any]:
        """Return the next slice; an empty one is the end. A source that raises ends early, with ``error`` set."""
        taken: list[Any] = []
        if self.error is not None:
            return taken
        try:
            if self._sync is not None:
                # extend() keeps what the source gave before it raised.
                taken.extend(islice(self._sync, self._size))
            else:
                await self._take_async(taken)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                self.left = taken
                raise
            # Nobody cancelled this task: it is what the source waited for that was cancelled.
            self.error = self._failed(error, len(taken))
        except Exception as error:  # noqa: BLE001  a source may raise anything; it is kept as the cause
            self.error = self._failed(error, len(taken))
        finally:
            self.read += len(taken)
        return taken

    def _failed(self, error: BaseException, taken: int) -> SourceError:
        failure = SourceError(self.read + taken + 1, type(error).__name__)
        failure.__cause__ = error.with_traceback(_beyond_this_module(error.__traceback__))
        return failure

    async def _take_async(self, taken: list[Any]) -> None:
        assert self._async is not None
        while len(taken) < self._size:
            try:
                taken.append(await anext(self._async))
            except StopAsyncIteration:
                return

    def held(self, seconds: float) -> None:
        """Take note of how long the loop was held for the last slice."""
        if seconds > LONGEST_HOLD:
            self._size = max(1, self._size // 2)
        elif seconds < LONGEST_HOLD / 4:
            self._size = min(LARGEST_SLICE, self._size * 2)

    async def aclose(self) -> None:
        """Close a generator that was not read to its end, so that its ``finally`` blocks run now.

        What they raise becomes ``error``, unless there is one.
        """
        # Only a generator: a file or a cursor has a close() too, and belongs to whoever opened it.
        try:
            if isinstance(self._async, AsyncGenerator):
                await self._async.aclose()
            elif isinstance(self._sync, Generator):
                self._sync.close()
        except Exception as error:  # noqa: BLE001  as in next()
            self.error = self.error or self._failed(error, 0)


def _is_named_tuple(source: object) -> bool:
    return isinstance(source, tuple) and hasattr(source, "_fields")


def _beyond_this_module(trace: TracebackType | None) -> TracebackType | None:
    """Return a source's own part of a traceback: our frames hold records, and error trackers print locals."""
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


class Chunker:
    """Reads a source through a stage of checks into chunks."""

    def __init__(
        self,
        source: Iterable[Any] | AsyncIterable[Any],
        stage: Stage,
        *,
        chunk_size: int,
        max_bytes: int,
        on_problems: Callable[[list[Problem]], None],
        timer: Callable[[], float] = perf_counter,
    ) -> None:
        """``on_problems`` is given the records held back, as they come; what it raises ends the reading."""
        self._slices = Slices(source)
        self._stage = stage
        self._chunk_size = chunk_size
        self._max_bytes = max_bytes
        self._on_problems = on_problems
        self._timer = timer
        self._let_go_at = timer()
        self._index = 0
        self._body = bytearray()
        self._encoded = bytearray()
        self._count = 0
        self._rows: list[tuple[int, int]] = []
        self._waiting: list[Any] = []
        self._waiting_rows: Sequence[int] = ()

    @property
    def read(self) -> int:
        """Records taken from the source so far."""
        return self._slices.read

    @property
    def chunks(self) -> int:
        """Chunks made so far."""
        return self._index

    @property
    def error(self) -> SourceError | None:
        """What ended the source before its end, if anything did."""
        return self._slices.error

    async def next(self) -> Chunk | None:
        """Return the next chunk, or None at the end of the source (see ``error``)."""
        while True:
            chunk = self._fill()
            if chunk is not None:
                return chunk
            now = self._timer()
            if now - self._let_go_at >= LONGEST_HOLD:
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                now = self._timer()
                self._let_go_at = now
            taken = await self._slices.next()
            if self._slices.is_async:
                now = self._timer()  # it may have waited for something; or not, so the loop is let go all the same
            if not taken:
                return self._close() if self._count and self._slices.error is None else None
            hidden = hide(taken)
            del taken  # an exception carries this frame, and error trackers print its locals
            self._check(next(hidden))
            chunk = self._fill()
            self._slices.held(self._timer() - now)
            if chunk is not None:
                return chunk

    def rest(self) -> list[Chunk]:
        """Return what was read and is in no chunk yet, when reading ended before the source did."""
        chunks: list[Chunk] = []
        if self._slices.left:  # nothing waited when they were asked for
            with contextlib.suppress(InvalidRecordError):  # the good ones around it are still to be settled
                self._check(self._slices.left)
            self._slices.left = []
        while self._waiting or self._count:
            try:
                chunk = self._fill() or (self._close() if self._count else None)
            except InvalidRecordError:  # told of when nothing is sent any more; the next one may be good
                continue
            chunks.extend(filter(None, [chunk]))
        return chunks

    def _check(self, taken: list[Any]) -> None:
        """Put the records that were just taken through the stage; what passes it waits to be encoded."""
        first = self._slices.read - len(taken) + 1
        self._waiting, self._waiting_rows, problems = self._stage(taken, range(first, first + len(taken)))
        del taken  # as in next()
        if problems:
            self._on_problems(problems)

    async def aclose(self) -> None:
        """Close the source."""
        await self._slices.aclose()

    # The open body is each record with a comma before it; closing turns the first comma into "[" and adds "]".

    def _fill(self) -> Chunk | None:
        """Encode what waits into the open chunk; return the chunk as soon as it is full."""
        while self._waiting:
            chunk = self._fill_whole() or self._fill_singly()
            if chunk is not None:
                return chunk
        return None

    def _fill_whole(self) -> Chunk | None:
        """Encode all that fits by count in one go, unless it has too many bytes or a record that cannot be encoded."""
        room = self._chunk_size - self._count
        records = self._waiting if len(self._waiting) <= room else self._waiting[:room]
        # By way of a buffer that is used again and again: it stays in the processor's cache, and msgspec would let one
        # that grows shrink to what is in it, each time.
        encoded = self._encoded
        try:
            encode_into(records, encoded)
        except ENCODING_ERRORS:
            return None
        if len(self._body) + len(encoded) > self._max_bytes:
            return None
        encoded[0] = _COMMA
        encoded.pop()
        self._body += encoded
        self._take(len(records))
        return self._close() if self._count == self._chunk_size else None

    def _fill_singly(self) -> Chunk | None:
        """Encode record by record: one of them ends the chunk by its bytes, is too large alone, or not encodable."""
        while self._waiting and self._count < self._chunk_size:
            fault: tuple[str | None, Reason] | None = None
            try:
                encoded = encode(self._waiting[0])
            except ENCODING_ERRORS:
                fault = fault_of(*plain(self._waiting[:1])) or (None, Reason.NOT_ENCODABLE)
            else:
                if len(encoded) + len(b"[]") > self._max_bytes:
                    fault = None, Reason.TOO_LARGE
                elif len(self._body) + len(b",") + len(encoded) + len(b"]") > self._max_bytes:
                    return self._close()
            if fault is not None:
                encoded = b""  # for the same reason as in next()
                problem = Problem(self._waiting_rows[0], *fault, *plain(self._waiting[:1]))
                self._waiting, self._waiting_rows = self._waiting[1:], self._waiting_rows[1:]
                self._on_problems([problem])
                continue
            self._body.append(_COMMA)
            self._body += encoded
            self._take(1)
        return self._close() if self._count == self._chunk_size else None

    def _take(self, count: int) -> None:
        """Move the first ``count`` waiting records to the open chunk's books."""
        for first, length in runs(self._waiting_rows[:count]):
            if self._rows and sum(self._rows[-1]) == first:
                self._rows[-1] = (self._rows[-1][0], self._rows[-1][1] + length)
            else:
                self._rows.append((first, length))
        self._count += count
        self._waiting, self._waiting_rows = self._waiting[count:], self._waiting_rows[count:]

    def _close(self) -> Chunk:
        self._body[0] = _OPENING_BRACKET
        self._body.append(_CLOSING_BRACKET)
        chunk = Chunk(self._index, self._rows[0][0], self._count, tuple(self._rows), self._body)
        self._index += 1
        self._body, self._count, self._rows = bytearray(), 0, []
        return chunk
