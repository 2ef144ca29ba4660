"""Any iterable of records, of any length, into encoded chunks, in slices that let the event loop breathe.

Chunks are filled greedily: as many records as fit in ``chunk_size`` and ``max_bytes``. So their limits depend on the
records alone and not on how the source hands them over, and a source read again falls into the same chunks.

They are read, checked and encoded a slice at a time. After slices that took a millisecond together the loop is let go.

What ends the reading ends it at one record: a bad one that the run does not skip, or one that the source fails to give.
Chunks that were full before it are handed out first, whatever slice it came in.
"""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect_left
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from time import perf_counter
from typing import Any

import attrs
import msgspec

from mobiz_async.encoding import ENCODING_ERRORS, encode, encode_into
from mobiz_async.errors import InvalidRecordError, Reason, SourceError
from mobiz_async.recipients.schema import as_dicts
from mobiz_async.recipients.stages import Problem, Stage, Staged, runs
from mobiz_async.recipients.values import refusal_of
from mobiz_async.slicing import LONGEST_HOLD, Slices
from mobiz_async.unseen import hide, theirs

__all__ = ["Chunk", "Chunker", "split"]

_TURNS = 5
"""Of the loop, given to others after each hold. A web handler needs about that many from a request to its answer, and
with one between two holds it would wait for as many holds. Five idle ones cost a sixtieth of a hold."""

_OPENING_BRACKET, _COMMA, _CLOSING_BRACKET = b"[,]"


@attrs.frozen(eq=False)
class Chunk:
    """Encoded records that travel together. ``rows`` are (first row, length) of each unbroken run of source rows."""

    index: int
    count: int
    rows: tuple[tuple[int, int], ...]
    body: bytearray = attrs.field(repr=False)

    @property
    def first_record(self) -> int:
        """The source row of its first record, from 1."""
        return self.rows[0][0]


def _no_limit(index: int) -> int:
    del index
    return sys.maxsize


_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


def split(body: bytes | bytearray) -> list[msgspec.Raw]:
    """Return the encoded records of a chunk's body."""
    return _split(body)


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
        most_of: Callable[[int], int] = _no_limit,
        timer: Callable[[], float] = perf_counter,
    ) -> None:
        """``on_problems`` is given the records held back, as they come. What it raises ends the reading.

        An ``InvalidRecordError`` does so where its record stands: what was full before it is handed out first.
        ``most_of`` a chunk, counted from 0, is how many records it may have where that is less than ``chunk_size``.
        """
        self._slices = Slices(source)
        self._stage = stage
        self._chunk_size = chunk_size
        self._max_bytes = max_bytes
        self._on_problems = on_problems
        self._most_of = most_of
        self._timer = timer
        self._let_go_at = timer()
        self._index = 0
        self._body = bytearray()
        self._encoded = bytearray()
        self._count = 0
        self._rows: list[tuple[int, int]] = []
        self._most = chunk_size
        """Records that the open chunk may have."""
        self._waiting: list[Any] = []
        self._waiting_rows: Sequence[int] = ()
        self._refused: InvalidRecordError | None = None
        """Ends the reading when nothing waits any more."""
        self._behind: tuple[list[Any], Sequence[int]] = [], ()
        """What was read behind the record that was refused, and its rows."""

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
            if self._refused is not None:
                raise self._refused
            now = self._timer()
            if now - self._let_go_at >= LONGEST_HOLD:
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                now = self._timer()
                self._let_go_at = now
            taken = await self._slices.next(self._chunk_size - self._count)
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
        if self._slices.left:  # nothing waited when they were asked for
            self._check(self._slices.left)
            self._slices.left = []
        chunks: list[Chunk] = []
        while self._waiting or self._behind[0]:
            if not self._waiting:  # good ones behind a bad one are still to be settled
                (self._waiting, self._waiting_rows), self._behind = self._behind, ([], ())
            chunks.extend(filter(None, [self._fill()]))
        return [*chunks, self._close()] if self._count else chunks

    def _check(self, taken: list[Any]) -> None:
        """Put the records that were just taken through the stage; what passes it waits to be encoded."""
        first = self._slices.read - len(taken) + 1
        staged: Staged | None
        try:
            staged = self._stage(taken, range(first, first + len(taken)))
        except Exception:  # noqa: BLE001  records may have code of their own, which may raise anything
            staged = None
        self._waiting, self._waiting_rows, problems = staged or self._singly(taken, first)
        del taken, staged  # as in next()
        if problems:
            self._tell(problems)

    def _singly(self, taken: list[Any], first: int) -> Staged:
        """Put records through the stage one by one, up to the one that raises, which is the end of the source."""
        records: list[Any] = []
        rows: list[int] = []
        problems: list[Problem] = []
        for row, record in enumerate(taken, first):
            try:
                staged = self._stage([record], range(row, row + 1))
            except Exception as error:  # noqa: BLE001  it is kept as the cause
                self._slices.fail(row, theirs(error))
                break
            records += staged.records
            rows += staged.rows
            problems += staged.problems
        return Staged(records, rows, problems)

    def _tell(self, problems: list[Problem]) -> None:
        """Tell of records held back. One that is refused ends the reading when what stands before it is out."""
        try:
            self._on_problems(problems)
        except InvalidRecordError as error:
            self._refused = error.with_traceback(None)
            place = bisect_left(self._waiting_rows, error.row)
            behind, behind_rows = self._behind
            self._behind = self._waiting[place:] + behind, [*self._waiting_rows[place:], *behind_rows]
            self._waiting, self._waiting_rows = self._waiting[:place], self._waiting_rows[:place]

    async def aclose(self) -> None:
        """Close the source, in the task that has read it. It raises nothing: see ``Slices``."""
        await self._slices.aclose()

    # The open body is each record with a comma before it; closing turns the first comma into "[" and adds "]".

    def _fill(self) -> Chunk | None:
        """Encode what waits into the open chunk; return the chunk as soon as it is full."""
        while self._waiting:
            if not self._count:
                self._most = min(self._chunk_size, self._most_of(self._index))
            chunk = self._fill_whole() or self._fill_singly()
            if chunk is not None:
                return chunk
        return None

    def _fill_whole(self) -> Chunk | None:
        """Encode all that fits by count in one go, unless it has too many bytes or a record that cannot be encoded."""
        room = self._most - self._count
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
        return self._close() if self._count == self._most else None

    def _fill_singly(self) -> Chunk | None:
        """Encode record by record: one of them ends the chunk by its bytes, is too large alone, or not encodable."""
        while self._waiting and self._count < self._most:
            fault: tuple[str | None, Reason] | None = None
            try:
                encoded = encode(self._waiting[0])
            except ENCODING_ERRORS:
                fault = refusal_of(*as_dicts(self._waiting[:1]))
            else:
                if len(encoded) + len(b"[]") > self._max_bytes:
                    fault = None, Reason.TOO_LARGE
                elif len(self._body) + len(b",") + len(encoded) + len(b"]") > self._max_bytes:
                    return self._close()
            if fault is not None:
                encoded = b""  # for the same reason as in next()
                problem = Problem(self._waiting_rows[0], *fault, *as_dicts(self._waiting[:1]))
                self._waiting, self._waiting_rows = self._waiting[1:], self._waiting_rows[1:]
                self._tell([problem])
                continue
            self._body.append(_COMMA)
            self._body += encoded
            self._take(1)
        return self._close() if self._count == self._most else None

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
        chunk = Chunk(self._index, self._count, tuple(self._rows), self._body)
        self._index += 1
        self._body, self._count, self._rows = bytearray(), 0, []
        return chunk
