"""Trigger batches sent side by side, with the manners of ``asyncio.gather(return_exceptions=True)``, but bounded.

One failed batch hides no other batch's ids; only credentials that are refused stop the rest, which is then not sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from mobiz_async.chunking import Chunk, Chunker
from mobiz_async.delivery import Deliverer, Delivery
from mobiz_async.errors import InvalidRecordError, RequestError
from mobiz_async.models import Outcome
from mobiz_async.pacing import Lane
from mobiz_async.reports import BatchOutcome, TriggerReceipt, TriggerReport
from mobiz_async.verdicts import Verdict
from mobiz_async.wire import trigger_request

__all__ = ["BatchSent", "fan_out", "receipt_of", "send_batches"]

BatchSent = tuple[Delivery, RequestError | None]

_STOPS = frozenset({Verdict.AUTH_FAILED, Verdict.ENGAGEMENT_NOT_FOUND, Verdict.MISDIRECTED, Verdict.QUOTA})


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


async def send_batches(
    deliverer: Deliverer, trigger_key: str, chunker: Chunker, *, concurrency: int, send_time: str | None
) -> TriggerReport:
    """Send every batch of ``chunker`` to ``trigger_key`` and return the report.

    Raises the ``InvalidRecordError`` or ``SourceError`` that ended the reading, with ``report`` set to what was sent.
    """

    async def send(batch: Chunk) -> BatchSent:
        request = trigger_request(trigger_key, batch.body, batch.count, send_time)
        delivery = await deliverer.deliver(request, Lane.BULK, concurrency=concurrency)
        failed = delivery.judged.verdict.outcome is not Outcome.ACCEPTED
        return delivery, delivery.judged.error(request, delivery.attempts) if failed else None

    started = deliverer.clock.monotonic()
    batches, posts, invalid = await fan_out(chunker, send, concurrency)
    report = TriggerReport(tuple(batches), posts, deliverer.clock.monotonic() - started)
    error = invalid or chunker.error
    if error is not None:
        error.report = report
        raise error
    return report


async def fan_out(
    chunker: Chunker, send: Callable[[Chunk], Awaitable[BatchSent]], concurrency: int
) -> tuple[list[BatchOutcome], int, InvalidRecordError | None]:
    """Send every batch of ``chunker``, ``concurrency`` at a time; the first alone.

    Return the batches in order, how many POSTs were begun, and the record that ended the reading early, if one did.
    """
    slots = asyncio.Semaphore(concurrency)
    outcomes: list[BatchOutcome] = []
    posts = 0
    halt = asyncio.Event()
    invalid: InvalidRecordError | None = None

    async def one(batch: Chunk) -> None:
        nonlocal posts
        try:
            delivery, error = await send(batch)
        finally:
            slots.release()
        verdict = delivery.judged.verdict
        posts += delivery.attempts
        if verdict in _STOPS:
            halt.set()
        accepted = verdict.outcome is Outcome.ACCEPTED
        receipt = receipt_of(delivery, batch.count) if accepted else None
        outcomes.append(
            BatchOutcome(
                batch.index, batch.first_record, batch.count, verdict.outcome, delivery.attempts, receipt, error
            )
        )

    try:
        async with asyncio.TaskGroup() as group:
            while not halt.is_set():
                try:
                    batch = await chunker.next()
                except InvalidRecordError as error:
                    # Without the frames it came through: error trackers print their locals, which are records.
                    invalid = error.with_traceback(None)
                    break
                if batch is None:
                    break
                await slots.acquire()
                if halt.is_set():
                    outcomes.append(BatchOutcome(batch.index, batch.first_record, batch.count, Outcome.NOT_SENT))
                    break
                task = group.create_task(one(batch))
                if batch.index == 0:
                    await asyncio.wait([task])
    finally:
        await chunker.aclose()
    outcomes.sort(key=lambda outcome: outcome.index)
    return outcomes, posts, invalid
