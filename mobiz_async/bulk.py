"""A bulk run: one reader, a few workers, a journal, a report.

The reader makes chunks and hands each to a worker of its own, at most ``concurrency`` at a time, and stops reading
while they are all busy: memory is ``(concurrency + 1)`` chunks, whatever the length of the source. The first chunk goes
alone, so that a wrong key or a wrong address costs one request. What a chunk goes through, and what survives a crash at
each step, stands at the head of ``chunk_life``.

A run ends when the source does, or when something halts it: ``stop()``, a deadline, a verdict under which every other
chunk would fare the same, a record or a source that is bad, a journal that fails. Then what is in flight is finished
and nothing new is started. Only cancelling breaks off what is in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Protocol, Self

import attrs

from mobiz_async.books import Books
from mobiz_async.cancelling import outlast
from mobiz_async.chunk_life import ChunkLife, Piece, Sender
from mobiz_async.chunking import Chunk, Chunker
from mobiz_async.delivery import Deliverer
from mobiz_async.errors import InvalidRecordError, JournalError, MobizError, SourceChangedError, SourceError
from mobiz_async.journal.protocol import ChunkState, Journal, Part, Recalled
from mobiz_async.limits import Meter
from mobiz_async.models import OnInvalid, StopReason
from mobiz_async.options import BulkOptions
from mobiz_async.recipients.stages import SKIPS, Problem
from mobiz_async.reports import BulkReport, ChunkOutcome, Stats

__all__ = ["BulkRun"]


class MakeChunker(Protocol):
    """Makes the run's chunker, once the run says where problems go."""

    def __call__(self, *, on_problems: Callable[[list[Problem]], None]) -> Chunker: ...


_RAISED = (InvalidRecordError, SourceError, SourceChangedError, JournalError)


class BulkRun:
    """A run in progress: an async context manager, and an async iterator of ``ChunkOutcome`` as they come.

    Entering the block starts it. Leaving the block before the run is over stops it: what is in flight is finished,
    nothing new is started. A run that is iterated goes on only as fast as it is iterated; ``await run.finish()`` lets
    it run to its end instead.
    """

    def __init__(
        self,
        deliverer: Deliverer,
        list_id: str,
        make_chunker: MakeChunker,
        journal: Journal,
        identity: Mapping[str, str],
        options: BulkOptions,
        concurrency: int,
    ) -> None:
        """Made by ``MobizClient.bulk``; nothing is read or sent before the block is entered."""
        self._deliverer = deliverer
        self._list_id = list_id
        self._chunker = make_chunker(on_problems=self._hold_back)
        self._journal = journal
        self._identity = identity
        self._options = options
        self._concurrency = concurrency
        self._clock = deliverer.clock
        self._books = Books(options.failures_kept)
        self._halt = asyncio.Event()
        self._stopped: StopReason | None = None
        self._error: MobizError | None = None
        self._raised = False
        self._outcomes: asyncio.Queue[ChunkOutcome | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()
        self._watched = True
        self._task: asyncio.Task[None] | None = None
        self._in_hand: list[Chunk] = []
        self._end: int | None = None
        self._started = 0.0
        self.report: BulkReport | None = None
        """The balanced books, once the run is over."""

    def __repr__(self) -> str:
        return f"<BulkRun of list {self._list_id}: {self.stats}>"

    @property
    def stats(self) -> Stats:
        """Live counts; ``read`` is ahead of the rest by what is in flight."""
        stats = self._books.stats
        if self.report is None and self._task is not None:
            stats.read = self._chunker.read
            stats.elapsed = self._clock.monotonic() - self._started
        return stats

    def stop(self) -> None:
        """Finish what is in flight, start nothing new. Returns at once; harmless a second time."""
        self._stop(StopReason.ASKED)

    def _stop(self, reason: StopReason, error: MobizError | None = None) -> None:
        if self._stopped is None:
            self._stopped, self._error = reason, error
        self._halt.set()

    async def __aenter__(self) -> Self:
        self._started = self._clock.monotonic()
        resuming = await self._journal.open(self._identity)
        self._task = asyncio.create_task(self._run(resuming), name="mobiz_async.bulk")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        if not self._task.done():
            self._stop(StopReason.CANCELLED if isinstance(error, asyncio.CancelledError) else StopReason.ASKED)
        self._let_go()
        if isinstance(error, asyncio.CancelledError):
            self._task.cancel()
        await self._over()
        if error is None:
            self._raise()

    def __aiter__(self) -> AsyncIterator[ChunkOutcome]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[ChunkOutcome]:
        while (outcome := await self._outcomes.get()) is not None:
            if self._outcomes.qsize() < self._concurrency:
                self._room.set()
            yield outcome
        self._outcomes.put_nowait(None)  # the end stays the end, for whoever iterates again
        await self._over()
        self._raise()

    async def finish(self) -> BulkReport:
        """Wait for the end of the run and return its report.

        Raises ``InvalidRecordError``, ``SourceError``, ``SourceChangedError`` or ``JournalError``, with ``report`` set,
        when one of them ended it. Cancelling it cancels the run: what may have gone out is then unknown.
        """
        self._let_go()
        await self._over()
        self._raise()
        assert self.report is not None
        return self.report

    def _let_go(self) -> None:
        """Nobody takes outcomes any more: release the workers that wait to hand one over."""
        self._watched = False
        self._room.set()
        while not self._outcomes.empty():
            self._outcomes.get_nowait()
        if self.report is not None:
            self._outcomes.put_nowait(None)

    async def _over(self) -> None:
        """Wait for the run; when this is cancelled, cancel the run and wait for it all the same."""
        assert self._task is not None
        try:
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            self._task.cancel()
            await outlast(self._task)
            raise
        if not self._task.cancelled() and not self._raised and (error := self._task.exception()) is not None:
            self._raised = True
            if isinstance(error, MobizError):
                error.report = self.report
            raise error

    def _raise(self) -> None:
        if isinstance(self._error, _RAISED) and not self._raised:
            self._raised = True
            self._error.report = self.report
            raise self._error

    # The run

    async def _run(self, resuming: bool) -> None:
        workers: set[asyncio.Task[None]] = set()
        sender = self._sender()
        reader = asyncio.create_task(self._read(sender, workers, resuming), name="mobiz_async.reader")
        halt = asyncio.create_task(self._halt.wait())
        timer = asyncio.create_task(self._expire())
        try:
            await asyncio.wait((reader, halt), return_when=asyncio.FIRST_COMPLETED)
            await _end(reader)
            if workers:
                await asyncio.wait(workers)
        except asyncio.CancelledError:
            self._stop(StopReason.CANCELLED)
            raise
        finally:
            tasks = (reader, *workers)
            closing = asyncio.create_task(self._close(sender, resuming, _end(*tasks, halt, timer)))
            cancelled = await outlast(closing)
            closing.result()
            if cancelled is not None:
                raise cancelled
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _close(self, sender: Sender, resuming: bool, end: Awaitable[None]) -> None:
        await end
        try:
            await self._settle_leftover(sender, resuming)
        finally:
            try:
                await self._chunker.aclose()
            finally:
                try:
                    await self._journal.close()
                finally:
                    self._close_books()

    def _close_books(self) -> None:
        elapsed = self._clock.monotonic() - self._started
        self.report = self._books.close(self._chunker.read, elapsed, self._stopped, self._error)
        self._outcomes.put_nowait(None)
        self._show_progress()

    async def _expire(self) -> None:
        if self._options.deadline is not None:
            await self._clock.sleep(self._options.deadline)
            self._stop(StopReason.DEADLINE)

    def _sender(self) -> Sender:
        options = self._options
        return Sender(
            deliverer=self._deliverer,
            journal=self._journal,
            list_id=self._list_id,
            on_unknown=options.on_unknown,
            on_rejected=options.on_rejected,
            concurrency=self._concurrency,
            splits_left=options.max_split_requests,
            halt=self._halt,
            stop=self._stop,
            note=self._note,
            hand_over=self._hand_over,
            in_flight=self._in_flight,
            deadline=None if options.deadline is None else self._started + options.deadline,
        )

    async def _read(self, sender: Sender, workers: set[asyncio.Task[None]], resuming: bool) -> None:
        rate = self._options.records_per_second
        meter = Meter(rate) if rate is not None else None
        slots = asyncio.Semaphore(self._concurrency)
        try:
            last_known = await self._last_known() if resuming else -1
            self._end = await self._journal.end() if resuming else None
            while (known := await self._next(last_known)) is not None:
                while self._in_hand:
                    chunk = self._in_hand[0]
                    if meter is not None:
                        await self._clock.sleep(max(0.0, meter.ready_at - self._clock.monotonic()))
                        meter.take(self._clock.monotonic(), chunk.count)
                    await slots.acquire()
                    self._books.stats.chunks += 1
                    del self._in_hand[0]
                    life = _life_of(chunk, sender).live(() if self._in_hand else known)
                    worker = asyncio.create_task(life, name="mobiz_async.worker")
                    workers.add(worker)
                    worker.add_done_callback(lambda done: self._retire(workers, slots, done))
                    if chunk.index == 0:
                        await asyncio.wait([worker])
            if self._chunker.error is not None:
                self._stop(StopReason.SOURCE, self._chunker.error)
            else:
                if resuming:
                    await self._check_source_is_whole()
                await self._journal.note_end(self._chunker.read)
        except (InvalidRecordError, SourceChangedError) as error:
            self._stop(StopReason.SOURCE, error)
        except JournalError as error:
            self._stop(StopReason.JOURNAL, error)
        except BaseException as error:  # cancelled: it may be the loop, which ends all of its tasks
            self._stop(StopReason.CANCELLED if isinstance(error, asyncio.CancelledError) else StopReason.ERROR)
            raise

    async def _next(self, last_known: int) -> tuple[Part, ...] | None:
        """Read until the chunks in hand may go; return what is known of the last of them, or None at the end.

        A chunk that an earlier run passed by is held until the next one which that run knew shows that the source is
        the same: else a record that has moved from that one into this one could go out twice.
        """
        while (chunk := await self._chunker.next()) is not None:
            self._in_hand.append(chunk)
            if self._end is not None and sum(chunk.rows[-1]) > self._end + 1:
                raise SourceChangedError(self._end + 1)
            known = await self._recall(chunk) if chunk.index <= last_known else ()
            if known or chunk.index > last_known:
                return known
        return None

    async def _settle_leftover(self, sender: Sender, resuming: bool) -> None:
        """Settle what was read and never handed to a worker: not sent, or what an earlier run has settled."""
        if not self._halt.is_set() or self._stopped is StopReason.ERROR:
            return
        with contextlib.suppress(JournalError):  # then nothing is known, and the books count them as not sent
            for chunk in [*self._in_hand, *self._chunker.rest()]:
                recalled = await self._journal.recall(chunk.index, chunk.body) if resuming else None
                await _life_of(chunk, sender).live(_parts_within(recalled, chunk))

    async def _recall(self, chunk: Chunk) -> tuple[Part, ...]:
        known = await self._journal.recall(chunk.index, chunk.body)
        if known is None:
            return ()
        if known.differs is not None:
            rows = (row for first, length in chunk.rows for row in range(first, first + length))
            raise SourceChangedError(next(itertools.islice(rows, known.differs, None), self._chunker.read + 1))
        return known.parts

    async def _last_known(self) -> int:
        return max([part.index async for part in self._journal.parts()], default=-1)

    async def _check_source_is_whole(self) -> None:
        async for part in self._journal.parts():
            if part.first_record > self._chunker.read:
                raise SourceChangedError(self._chunker.read + 1)
        if self._end is not None and self._end != self._chunker.read:
            raise SourceChangedError(min(self._end, self._chunker.read) + 1)

    def _retire(self, workers: set[asyncio.Task[None]], slots: asyncio.Semaphore, done: asyncio.Task[None]) -> None:
        slots.release()
        if done.cancelled() or done.exception() is None:
            workers.discard(done)
        else:
            # It stays, to be raised when the run is over: a callback of the caller's, or a mistake of ours.
            self._stop(StopReason.ERROR)

    # What the parts of the run report

    def _hold_back(self, problems: list[Problem]) -> None:
        for problem in problems:
            if self._options.on_invalid is OnInvalid.RAISE and problem.reason not in SKIPS:
                raise problem.error()
            self._books.skip(problem)
            if self._options.on_skipped is not None:
                self._options.on_skipped(problem)

    def _in_flight(self, change: int) -> None:
        self._books.stats.in_flight += change
        if change > 0:
            self._books.stats.requests += 1

    def _note(self, chunk: ChunkOutcome) -> None:
        self._books.settle(chunk)
        self._books.stats.retries += max(0, chunk.attempts - 1) if not chunk.resumed else 0
        limit = self._options.max_failure_rate
        if limit is not None and self._books.failure_rate > limit:
            self._stop(StopReason.FAILURE_RATE, chunk.error)
        self._show_progress()

    async def _hand_over(self, chunk: ChunkOutcome) -> None:
        if self._watched:
            self._outcomes.put_nowait(chunk)
            if self._outcomes.qsize() >= self._concurrency:
                self._room.clear()
                await self._room.wait()

    def _show_progress(self) -> None:
        if self._options.progress is not None:
            self._options.progress(self.stats)


def _life_of(chunk: Chunk, sender: Sender) -> ChunkLife:
    return ChunkLife(sender, Piece(chunk.index, 0, chunk.count, chunk.rows, chunk.body))


def _parts_within(recalled: Recalled | None, chunk: Chunk) -> tuple[Part, ...]:
    """Return what is known of a chunk that was read in part, as far as it holds what was sent then."""
    if recalled is None:
        return ()
    same = chunk.count if recalled.differs is None else min(chunk.count, recalled.differs)
    known = [
        attrs.evolve(part, count=min(part.count, same - part.start)) for part in recalled.parts if part.start < same
    ]
    if same < chunk.count:
        known.append(Part(chunk.index, same, chunk.count - same, ChunkState.PENDING, chunk.first_record))
    return tuple(known)


async def _end(*tasks: asyncio.Task[None] | asyncio.Task[bool]) -> None:
    """Cancel what still runs, and wait until nothing does."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
