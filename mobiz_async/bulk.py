"""A bulk run: one reader, a few workers, a journal, a report.

The reader makes chunks and hands each to a worker of its own, at most ``concurrency`` at a time, and stops reading
while they are all busy: memory is ``(concurrency + 1)`` chunks, whatever the length of the source. What a chunk goes
through, and what survives a crash at each step, stands at the head of ``chunk_life``.

A run ends when the source does, also where that is at a bad record or because it raises: the chunks that were full
before go. Or something halts it: ``stop()``, a deadline, a verdict under which every other chunk would fare the same, a
source that has changed, a journal that fails. Then what is in flight is finished and nothing new is started. Only
cancelling breaks off what is in flight.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

from mobiz_async.attempts import Piece
from mobiz_async.books import Books
from mobiz_async.callbacks import Callbacks
from mobiz_async.cancelling import end, outlast, tell
from mobiz_async.chunk_life import ChunkLife, RunContext
from mobiz_async.chunking import Chunk, Chunker
from mobiz_async.crew import Crew
from mobiz_async.delivery import Deliverer
from mobiz_async.errors import InvalidRecordError, JournalError, MobizError, SourceChangedError, SourceError
from mobiz_async.journal.guarded import Guarded
from mobiz_async.journal.protocol import Journal
from mobiz_async.late_optouts import LateOptOuts
from mobiz_async.limits import Meter
from mobiz_async.logs import say
from mobiz_async.models import OnInvalid, OnUnknown, StopReason
from mobiz_async.options import BulkOptions
from mobiz_async.outlet import Outlet
from mobiz_async.recipients.stages import SKIPS, Problem
from mobiz_async.reports import BulkReport, ChunkOutcome, Stats
from mobiz_async.resuming import Earlier, Step

__all__ = ["BulkRun"]


class MakeChunker(Protocol):
    """Makes the run's chunker, once the run says where problems go, and who is in a chunk of an earlier run."""

    def __call__(self, *, on_problems: Callable[[list[Problem]], None], late: LateOptOuts) -> Chunker: ...


_RAISED = (InvalidRecordError, SourceError, SourceChangedError, JournalError)


class BulkRun:
    """A run in progress: an async context manager, and an async iterator of ``ChunkOutcome`` as they come.

    Entering the block starts it. Leaving the block before the run is over stops it: what is in flight is finished,
    nothing new is started. A run that is iterated goes on only as fast as it is iterated; ``await run.finish()`` lets
    it run to its end instead. One that is neither, but looked at by its ``stats``, goes on as well; of the outcomes
    that then wait to be iterated, only the first few keep their records.
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
        under_way: Callable[[bool], None],
    ) -> None:
        """Made by ``MobizClient.bulk``; nothing is read or sent before the block is entered."""
        self._deliverer = deliverer
        self._list_id = list_id
        self._late = LateOptOuts()
        self._chunker = make_chunker(on_problems=self._hold_back, late=self._late)
        self._journal = Guarded(journal)
        self._identity = identity
        self._options = options
        self._concurrency = concurrency
        self._under_way = under_way
        self._clock = deliverer.clock
        self._books = Books(options.failures_kept)
        self._callbacks = Callbacks(options, partial(self._stop, StopReason.ERROR))
        self._halt = asyncio.Event()
        self._stopped: StopReason | None = None
        self._error: MobizError | None = None
        self._raised = False
        self._outlet = Outlet(concurrency)
        self._crew = Crew(concurrency, retired=self._look_at)
        resend = options.on_unknown is OnUnknown.RESEND
        self._earlier = Earlier(self._journal, self._late, resend_unknown=resend)
        rate = options.records_per_second
        self._meter = Meter(rate) if rate is not None else None
        self._context = self._context_of_chunks()
        self._begun = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._in_hand: list[Chunk] = []
        self._started = 0.0
        self._closing_source = False
        self._whole = False
        """Whether the source was read to its end."""
        self.report: BulkReport | None = None
        """The balanced books, once the run is over."""

    def __repr__(self) -> str:
        return f"<BulkRun of list {self._list_id}: {self.stats}>"

    @property
    def stats(self) -> Stats:
        """Live counts; ``read`` is ahead of the rest by what is in flight."""
        return self._live()

    def _live(self) -> Stats:
        stats = self._books.stats
        if self.report is None and self._begun:
            stats.read = self._chunker.read
            stats.elapsed = self._clock.monotonic() - self._started
        return stats

    def stop(self) -> None:
        """Finish what is in flight, start nothing new. Returns at once; harmless a second time.

        It may be called from anywhere: the event loop, a signal handler of whatever kind, another thread.
        """
        tell(self._loop, partial(self._stop, StopReason.ASKED))

    def _stop(self, reason: StopReason, error: MobizError | None = None) -> None:
        # The first reason is the one, but a journal that fails is not passed over because the run was ending anyway.
        if self._stopped is None or (isinstance(error, JournalError) and not isinstance(self._error, _RAISED)):
            self._stopped, self._error = reason, error
        self._halt.set()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._started = self._clock.monotonic()
        if self._options.deadline is not None:
            self._context.deadline = self._started + self._options.deadline
        try:
            await self._earlier.open(self._identity)
        except JournalError as error:
            error.report = self._books.close(0, 0.0, StopReason.JOURNAL, error)
            raise
        self._begun = True  # an eager task runs, and calls back, before it is known
        self._task = asyncio.create_task(self._run(), name="mobiz_async.bulk")
        self._task.add_done_callback(lambda _: self._under_way(False))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        if not self._task.done():
            self._stop(StopReason.CANCELLED if isinstance(error, asyncio.CancelledError) else StopReason.ASKED)
        self._outlet.let_go()
        if isinstance(error, asyncio.CancelledError):
            self._cancel()
        await self._over()
        if error is None:
            self._raise()
        elif not self._raised and not self._task.cancelled() and (failed := self._task.exception()) is not None:
            # What the block raised goes before it, above all where that is a cancellation.
            said = "a bulk run, whose block was left by an exception, had raised %s"
            say(logging.WARNING, said, type(failed).__name__)

    def __aiter__(self) -> AsyncIterator[ChunkOutcome]:
        self._outlet.iterated()
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[ChunkOutcome]:
        while (outcome := await self._outlet.take()) is not None:
            yield outcome
        await self._over()
        self._raise()

    async def finish(self) -> BulkReport:
        """Wait for the end of the run and return its report.

        Raises ``InvalidRecordError``, ``SourceError``, ``SourceChangedError`` or ``JournalError``, with ``report`` set,
        when one of them ended it. Cancelling it cancels the run: what may have gone out is then unknown.
        """
        self._outlet.let_go()
        await self._over()
        self._raise()
        assert self.report is not None
        return self.report

    async def _over(self) -> None:
        """Wait for the run; when this is cancelled, cancel the run and wait for it all the same."""
        assert self._task is not None
        try:
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            self._cancel()
            await outlast(self._task)
            raise

    def _cancel(self) -> None:
        assert self._task is not None
        # Behind its first step, which the loop has been asked for already: a task cancelled before would close nothing.
        asyncio.get_running_loop().call_soon(self._task.cancel)

    def _raise(self) -> None:
        """Raise what ended the run, once."""
        assert self._task is not None
        failed = None if self._task.cancelled() else self._task.exception()
        error = failed or (self._error if isinstance(self._error, _RAISED) else None)
        if error is not None and not self._raised:
            self._raised = True
            if isinstance(error, MobizError):
                error.report = self.report
            raise error

    # The run

    async def _run(self) -> None:
        with self._deliverer.pacer.allowing(self._concurrency):
            await self._send_all()

    async def _send_all(self) -> None:
        crew = self._crew
        reader = asyncio.create_task(self._read(), name="mobiz_async.reader")
        halt = asyncio.create_task(self._halt.wait())
        timer = asyncio.create_task(self._expire())
        try:
            await asyncio.wait((reader, halt), return_when=asyncio.FIRST_COMPLETED)
            await self._end_reading(reader)
            if crew.tasks:
                await asyncio.wait(crew.tasks)
        except asyncio.CancelledError:
            self._stop(StopReason.CANCELLED)
            raise
        finally:
            tasks = (reader, *crew.tasks)
            closing = asyncio.create_task(self._close(reader, *crew.tasks, halt, timer))
            cancelled = await outlast(closing)
            closing.result()
            if cancelled is not None:
                raise cancelled
        for task in tasks:
            if not task.cancelled():
                task.result()
        if self._callbacks.error is not None:
            raise self._callbacks.error

    async def _end_reading(self, reader: asyncio.Task[None], *others: asyncio.Task[Any]) -> None:
        if not self._closing_source:  # which is not to be broken off
            reader.cancel()
        if others:
            await end(*others)
        await asyncio.wait([reader])

    async def _close(self, reader: asyncio.Task[None], *others: asyncio.Task[Any]) -> None:
        await self._end_reading(reader, *others)
        try:
            await self._settle_leftover()
        finally:
            try:
                await self._chunker.aclose()  # where its reader never began
            finally:
                try:
                    await self._journal.close()
                finally:
                    self._close_books()

    def _close_books(self) -> None:
        elapsed = self._clock.monotonic() - self._started
        self.report = self._books.close(self._chunker.read, elapsed, self._stopped, self._error, whole=self._whole)
        self._outlet.end()
        self._callbacks.progress(self._live)

    async def _expire(self) -> None:
        if self._options.deadline is not None:
            await self._clock.sleep(self._started + self._options.deadline - self._clock.monotonic())
            self._stop(StopReason.DEADLINE)

    def _context_of_chunks(self) -> RunContext:
        options = self._options
        return RunContext(
            deliverer=self._deliverer,
            journal=self._journal,
            list_id=self._list_id,
            on_unknown=options.on_unknown,
            on_rejected=options.on_rejected,
            splits_left=options.max_split_requests,
            halt=self._halt,
            stop=self._stop,
            note=self._note,
            skip=lambda problem: self._hold_back([problem]),
            room=self._outlet.room,
            in_flight=self._in_flight,
        )

    async def _read(self) -> None:
        try:
            await self._read_all()
        finally:
            self._closing_source = True
            await self._chunker.aclose()

    async def _read_all(self) -> None:
        try:
            await self._earlier.look()
            while (steps := await self._next()) is not None:
                while self._in_hand:
                    await self._start(() if len(self._in_hand) > 1 else steps)
                    if self._halt.is_set():
                        return  # whoever waits for that is about to cancel this, and what is in hand is settled then
            await self._earlier.check_whole(self._chunker.read, self._chunker.chunks)
            self._whole = True
            await self._journal.note_end(self._chunker.read)
        except (InvalidRecordError, SourceError) as error:
            try:
                await self._crew.idle()  # what was full before it goes, whatever was in flight at this moment
            finally:
                self._stop(StopReason.SOURCE, error)
        except SourceChangedError as error:
            self._stop(StopReason.SOURCE, error)
        except JournalError as error:
            self._stop(StopReason.JOURNAL, error)
        except BaseException as error:  # cancelled: it may be the loop, which ends all of its tasks
            self._stop(StopReason.CANCELLED if isinstance(error, asyncio.CancelledError) else StopReason.ERROR)
            raise

    async def _next(self) -> tuple[Step, ...] | None:
        """Read until the chunks in hand may go; return what to do with the last of them, or None at the end.

        A chunk that an earlier run passed by is held until the next one which that run knew shows that the source is
        the same: else a record that has moved from that one into this one could go out twice.
        """
        while (chunk := await self._chunker.next()) is not None:
            self._in_hand.append(chunk)
            steps = await self._earlier.steps_of(chunk)
            if steps or not self._earlier.covers(chunk):
                return steps
        if self._chunker.error is not None:
            raise self._chunker.error
        return None

    async def _start(self, steps: tuple[Step, ...]) -> None:
        """Hand the first chunk in hand to a worker, as soon as there is one and the rate allows."""
        chunk = self._in_hand[0]
        sends = sum(step.count for step in steps if step.fate.goes) if steps else chunk.count
        if self._meter is not None and sends:
            await self._clock.sleep(max(0.0, self._meter.ready_at - self._clock.monotonic()))
            self._meter.take(self._clock.monotonic(), sends)
        await self._crew.place()
        if self._halt.is_set():
            return
        del self._in_hand[0]
        self._crew.start(self._life_of(chunk).live(steps), sends=bool(sends))

    def _life_of(self, chunk: Chunk) -> ChunkLife:
        self._books.stats.chunks += 1
        return ChunkLife(self._context, Piece(chunk.index, 0, chunk.count, chunk.rows, chunk.body))

    async def _settle_leftover(self) -> None:
        """Settle what was read and never handed to a worker: not sent, or what an earlier run has settled."""
        if self._halt.is_set():
            for chunk in [*self._in_hand, *self._chunker.rest()]:
                await self._life_of(chunk).live(await self._earlier.steps_within(chunk))

    def _look_at(self, done: asyncio.Task[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            # It is raised when the run is over: a transport's, or a mistake of ours.
            self._stop(StopReason.ERROR)
        limit = self._options.max_failure_rate
        # Only between chunks: of one that is being halved, the bad records are settled first.
        if limit is not None and self._books.failure_rate > limit:
            self._stop(StopReason.FAILURE_RATE, self._books.last_error)

    # What the parts of the run report

    def _hold_back(self, problems: list[Problem]) -> None:
        for problem in problems:
            if self._options.on_invalid is OnInvalid.RAISE and problem.reason not in SKIPS:
                raise problem.error()
            self._books.skip(problem)
            self._callbacks.skipped(problem)

    def _in_flight(self, change: int) -> None:
        self._books.stats.in_flight += change
        if change > 0:
            self._books.stats.requests += 1

    def _note(self, chunk: ChunkOutcome) -> None:
        self._books.settle(chunk)
        self._outlet.put(chunk)
        self._books.stats.retries += max(0, chunk.attempts - 1) if not chunk.resumed else 0
        self._callbacks.progress(self._live)
