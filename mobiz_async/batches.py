"""Trigger batches sent side by side, with the manners of ``asyncio.gather(return_exceptions=True)``, but bounded.

One failed batch hides no other batch's ids. What would become of every other batch as well ends the run, as it ends a
bulk run: see ``stopping``. There is no journal, so the report is all that tells what went: what ends a run carries it.

A task of the run that is cancelled by anybody but the run ends it as cancelled, and so does a transport whose own
waiting was cancelled: a task group takes no notice of either, and a batch that nobody notes down would be one that
nobody knows about.
"""

from __future__ import annotations

import asyncio
from typing import Any

from mobiz_async.chunking import Chunk, Chunker
from mobiz_async.delivery import Deliverer, Delivery
from mobiz_async.errors import InvalidRecordError, RequestError
from mobiz_async.models import Outcome, Secret, StopReason
from mobiz_async.pacing import Lane
from mobiz_async.reports import BatchOutcome, TriggerReceipt, TriggerReport
from mobiz_async.stopping import stop_reason
from mobiz_async.unseen import theirs
from mobiz_async.verdicts import Failure
from mobiz_async.wire import trigger_request

__all__ = ["TriggerRun", "receipt_of"]


def receipt_of(delivery: Delivery, count: int) -> TriggerReceipt:
    """Return the receipt of an accepted trigger; ids are attributed only where the reply has as many as were posted."""
    answer = delivery.judged.answer
    assert answer is not None
    return TriggerReceipt(
        reference=answer.reference,
        result_code=answer.code,
        description=answer.message,
        messages=answer.messages,
        count=count,
        raw=answer.raw,
    )


class TriggerRun:
    """The batches of one ``trigger_many``: the first alone, then ``concurrency`` at a time."""

    def __init__(
        self, deliverer: Deliverer, trigger_key: Secret, chunker: Chunker, concurrency: int, send_time: str | None
    ) -> None:
        """Nothing is read or sent before ``run``."""
        self._deliverer = deliverer
        self._trigger_key = trigger_key
        self._chunker = chunker
        self._concurrency = concurrency
        self._send_time = send_time
        self._slots = asyncio.Semaphore(concurrency)
        self._halt = asyncio.Event()
        self._stopped: StopReason | None = None
        self._error: Exception | None = None
        self._unsettled: dict[int, tuple[Chunk, Outcome]] = {}
        """Batches that were read and not noted yet, by index, and what is proven of each should its task just end."""
        self._outcomes: list[BatchOutcome] = []
        self._requests = 0

    def stop(self) -> None:
        """Finish the attempts that have begun, begin no more."""
        self._stop(StopReason.ASKED)

    def _stop(self, reason: StopReason) -> None:
        self._stopped = self._stopped or reason
        self._halt.set()

    async def run(self) -> TriggerReport:
        """Send every batch and return the report.

        Raises the ``InvalidRecordError`` or ``SourceError`` that ended the reading when all that was full before it is
        sent. Whatever it raises but ``CancelledError`` has the report in ``report``.
        """
        started = self._deliverer.clock.monotonic()
        try:
            with self._deliverer.pacer.allowing(self._concurrency):
                async with asyncio.TaskGroup() as group:
                    reader = group.create_task(self._read_and_close(group), name="mobiz_async.reader")
                    reader.add_done_callback(self._look_at)
        finally:
            await self._chunker.aclose()  # where its reader never began
        self._error = self._error or self._chunker.error
        for batch, outcome in list(self._unsettled.values()):
            self._note(batch, outcome)
        self._outcomes.sort(key=lambda outcome: outcome.index)
        elapsed = self._deliverer.clock.monotonic() - started
        report = TriggerReport(tuple(self._outcomes), self._requests, elapsed, self._stopped)
        if self._error is not None:
            vars(self._error)["report"] = report  # of any kind of exception
            raise self._error
        return report

    def _look_at(self, done: asyncio.Task[None]) -> None:
        if done.cancelled():
            self._stop(StopReason.CANCELLED)  # unless it was halted, which is why by then

    def _sent(self, done: asyncio.Task[None]) -> None:
        self._slots.release()  # here, as a task that is cancelled before its first step runs no line of its own
        self._look_at(done)

    async def _read_and_close(self, group: asyncio.TaskGroup) -> None:
        reader = asyncio.current_task()
        assert reader is not None
        watch = group.create_task(self._halt.wait())

        def halted(_: asyncio.Task[Any]) -> None:
            reader.cancel()  # it may wait for the source, for however long

        watch.add_done_callback(halted)
        try:
            await self._read(group)
        finally:
            watch.remove_done_callback(halted)  # the closing is not to be broken off
            watch.cancel()
            await self._chunker.aclose()

    async def _read(self, group: asyncio.TaskGroup) -> None:
        try:
            while not self._halt.is_set() and (batch := await self._chunker.next()) is not None:
                self._unsettled[batch.index] = batch, Outcome.NOT_SENT
                await self._slots.acquire()
                if self._halt.is_set():
                    return
                task = group.create_task(self._send(batch), name="mobiz_async.worker")
                task.add_done_callback(self._sent)
                if batch.index == 0:
                    await asyncio.wait([task])
        except InvalidRecordError as error:
            # Without the frames it came through: error trackers print their locals, which are records.
            self._error = error.with_traceback(None)
        except Exception as error:  # noqa: BLE001  it is raised when the run is over
            self._fail(error)
        if (self._error or self._chunker.error) is not None:
            self._stopped = self._stopped or StopReason.SOURCE

    def _fail(self, error: Exception) -> None:
        """Begin nothing more after a mistake of ours, or of a transport that was handed in.

        A task group would break off what is under way, and raise a group of errors without a report.
        """
        self._error = self._error or theirs(error)
        self._stop(StopReason.ERROR)

    async def _send(self, batch: Chunk) -> None:
        self._unsettled[batch.index] = batch, Outcome.UNKNOWN
        try:
            await self._deliver(batch)
        except Exception as error:  # noqa: BLE001  it is raised when the run is over
            self._fail(error)

    async def _deliver(self, batch: Chunk) -> None:
        request = trigger_request(self._trigger_key, batch.body, batch.count, self._send_time)
        delivery = await self._deliverer.deliver(
            request, Lane.BULK, halt=self._halt, patient=True, cut_short=Failure.CANCELLED
        )
        judged = delivery.judged
        self._requests += delivery.attempts
        if delivery.cut_short:
            self._stop(StopReason.CANCELLED)
        reason = stop_reason(judged, self._deliverer.policy.max_retry_after)
        if reason is not None:
            self._stop(reason)
        outcome = judged.verdict.outcome
        if outcome is Outcome.ACCEPTED:
            self._note(batch, outcome, delivery.attempts, receipt=receipt_of(delivery, batch.count))
        else:
            self._note(batch, outcome, delivery.attempts, error=judged.error(request, delivery.attempts))

    def _note(
        self,
        batch: Chunk,
        outcome: Outcome,
        attempts: int = 0,
        *,
        receipt: TriggerReceipt | None = None,
        error: RequestError | None = None,
    ) -> None:
        del self._unsettled[batch.index]
        self._outcomes.append(
            BatchOutcome(batch.index, batch.first_record, batch.count, outcome, attempts, receipt, error)
        )
