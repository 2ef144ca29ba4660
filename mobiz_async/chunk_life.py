"""The life of one chunk, from the reader's hands to its outcome, and what survives a crash at each step.

1.  The reader has encoded it. Nothing is written: after a crash the source gives the same chunk again.
2.  It waits for its turn (slots, pauses, rates). The same.
3.  ``intended``: the journal holds its digest and body, durably, and only then may a byte go out. From here on a crash
    leaves an intent without an outcome, which is *unknown* on resume: nobody can say what the server saw.
4.  The POST. What it proved is judged by ``verdicts``.
5.  The outcome is written: ``accepted`` and ``rejected`` are final, ``not sent`` makes the chunk pending again,
    ``unknown`` stays until its owner settles it or asks for it to be sent again (a refusal of the key or the address
    says nothing about the chunk: it stays pending as well). A crash between the answer and this write leaves an unknown
    that in truth was settled: at most the chunks that were in flight, and never the other way.

An outcome is written under the id of its attempt, so that one that comes late cannot overwrite a newer attempt's. The
states and what moves a chunk between them are the table ``journal.LIFE``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TypeVar, assert_never

import attrs

from mobiz_async.attempts import Attempts, Piece
from mobiz_async.chunking import split
from mobiz_async.delivery import Deliverer, Delivery, Hooks
from mobiz_async.errors import (
    JournalError,
    MobizError,
    NotSentError,
    OutcomeUnknownError,
    RejectedError,
    RequestError,
)
from mobiz_async.journal.protocol import ChunkState, Event, Intent, Journal, Part, Settlement
from mobiz_async.models import OnRejected, OnUnknown, Outcome, StopReason
from mobiz_async.pacing import Lane
from mobiz_async.recipients.stages import Problem
from mobiz_async.reports import ChunkOutcome
from mobiz_async.resuming import Fate, Step
from mobiz_async.splitting import Search
from mobiz_async.stopping import stop_reason
from mobiz_async.verdicts import Attempt, Judged, Stage, Verdict, classify
from mobiz_async.wire import Operation, Reply, append_request

__all__ = ["ChunkLife", "RunContext"]

E = TypeVar("E", bound=RequestError)

_TAKEN_OVER = (
    "the journal takes no outcome of this attempt any more: somebody else has opened or changed it in the meantime"
)


@attrs.define(eq=False)
class RunContext:
    """What a chunk knows of the run that it belongs to, and how it tells it what happens. All chunks share it."""

    deliverer: Deliverer
    journal: Journal
    list_id: str
    on_unknown: OnUnknown
    on_rejected: OnRejected
    splits_left: int
    """How many more requests may be spent on halving."""
    halt: asyncio.Event
    stop: Callable[[StopReason, MobizError | None], None]
    note: Callable[[ChunkOutcome], None]
    """Counts what is settled and gives it to whoever watches the run; at once, so that a task which is cancelled, or
    fails, does so as well."""
    skip: Callable[[Problem], None]
    """Counts a record that does not go any more."""
    room: Callable[[], Awaitable[None]]
    """Waits for whoever watches the run, where they are behind."""
    in_flight: Callable[[int], None]
    """Told of requests as they begin (+1) and end (-1)."""
    deadline: float | None = None
    run_id: str = attrs.field(factory=lambda: secrets.token_hex(8))
    _attempts: itertools.count[int] = attrs.field(factory=lambda: itertools.count(1))

    def attempt_id(self) -> str:
        """Return an id that no other attempt has, in this run or another."""
        return f"{self.run_id}-{next(self._attempts)}"


class ChunkLife:
    """Takes one chunk through its life. Every record of it is settled exactly once, also when cancelled."""

    def __init__(self, run: RunContext, whole: Piece) -> None:
        """Nothing happens before ``live``."""
        self._run = run
        self._whole = whole
        self._steps: tuple[Step, ...] = ()
        self._settled: list[tuple[int, int]] = []

    async def live(self, steps: tuple[Step, ...]) -> None:
        """Send it; or, where earlier runs came to it, do as planned for what they made of it."""
        whole, self._steps = self._whole, steps
        try:
            if not steps:
                await self._send(whole)
            elif len(steps) == 1:
                await self._resume(whole, steps[0])
            else:
                records = split(whole.body)
                for step in steps:
                    await self._resume(whole.cut(step.start, step.start + step.count, records), step)
        except JournalError as error:
            self._run.stop(StopReason.JOURNAL, error)
        finally:
            await self._settle_rest()

    async def _resume(self, piece: Piece, step: Step) -> None:
        match step.fate:
            case Fate.SEND:
                await self._send(piece)
            case Fate.SEND_IN_DOUBT:
                await self._send(piece, in_doubt=True)
            case Fate.KEEP:
                await self._settle_as_known(piece, step.part)
            case Fate.KEEP_IN_DOUBT:
                await self._settle_as_known(piece, step.part, "; not sent again, as somebody in it has opted out since")
            case Fate.WITHHOLD:
                assert step.late is not None
                self._settled.append((step.start, step.start + step.count))
                self._run.skip(step.late)
            case _:
                assert_never(step.fate)

    async def _settle_as_known(self, piece: Piece, part: Part, why_unknown_still: str = "") -> None:
        """Settle without a request what an earlier run has sent, or what nobody has."""
        outcome = _OUTCOMES[part.state]
        if outcome is Outcome.NOT_SENT:
            self._note(piece, outcome, 0, None, None)
            await self._run.room()
            return
        error: RequestError | None = None
        told = part.attempt_id is not None  # else the journal has no such part, or could not be asked
        if outcome is Outcome.REJECTED:
            error = _refusal(part)
        elif outcome is Outcome.UNKNOWN:
            why = "did not learn the outcome" if told else "may have sent it, and the journal cannot tell"
            error = _error(
                OutcomeUnknownError,
                f"an earlier run {why}{why_unknown_still}",
                status=part.status,
                attempts=part.attempts,
                reference=part.reference,
            )
            if self._run.on_unknown is OnUnknown.STOP:
                self._run.stop(StopReason.UNKNOWN, error)
        self._note(piece, outcome, part.attempts, part.status, error, resumed=told)
        await self._run.room()

    async def _send(self, piece: Piece, *, in_doubt: bool = False) -> None:
        delivery, attempts = await self._deliver(piece, in_doubt=in_doubt)
        if attempts.halve:
            await self._halve(piece, delivery)

    async def _halve(self, piece: Piece, refused: Delivery) -> None:
        """Find the bad records of a refused piece by sending ranges of it (``OnRejected.SPLIT``)."""
        run = self._run
        records = split(piece.body)
        search = Search(piece.count)
        while (span := search.next_range()) is not None and run.splits_left > 0 and not run.halt.is_set():
            run.splits_left -= 1
            part = piece.cut(*span, records)
            delivery, attempts = await self._deliver(part)
            if delivery.judged.verdict is Verdict.ACCEPTED:
                search.accepted()
            elif delivery.judged.verdict.splittable and not attempts.in_doubt:
                refused = delivery
                search.refused()
            else:
                search.lost()
        start, stop = search.rest
        if start < stop and run.splits_left <= 0:
            await self._refuse(piece.cut(start, stop, records), refused)

    async def _refuse(self, piece: Piece, refused: Delivery) -> None:
        """Settle as rejected what no smaller request settled: the last answer about it was a refusal."""
        attempts = Attempts(piece)
        attempts.begin(self._run.attempt_id())
        attempts.prove(refused.judged)
        try:
            await self._intend(attempts)
            await self._write(attempts)
        except BaseException:
            await self._abandon(attempts)
            raise
        await self._conclude(attempts, refused)

    async def _deliver(self, piece: Piece, *, in_doubt: bool = False) -> tuple[Delivery, Attempts]:
        """Deliver one request and settle it, unless it is to be halved.

        ``in_doubt``: an earlier attempt at it may have been applied. Only an acceptance settles that.
        """
        run = self._run
        attempts = Attempts(piece, in_doubt=in_doubt)

        async def before() -> None:
            attempts.begin(run.attempt_id())
            await self._intend(attempts)
            run.in_flight(1)
            attempts.counted = True

        async def after(judged: Judged) -> None:
            attempts.prove(judged, split=run.on_rejected is OnRejected.SPLIT)
            attempts.counted = False
            run.in_flight(-1)
            await self._write(attempts)

        try:
            delivery = await run.deliverer.deliver(
                append_request(run.list_id, piece.body, piece.count),
                Lane.BULK,
                hooks=Hooks(before, after, attempts.mark),
                deadline=run.deadline,
                halt=run.halt,
                resend_unknown=run.on_unknown is OnUnknown.RESEND,
                patient=True,
                in_doubt=in_doubt,
            )
        except BaseException:
            await self._abandon(attempts)
            raise
        if not attempts.halve:
            await self._conclude(attempts, delivery)
        return delivery, attempts

    async def _abandon(self, attempts: Attempts) -> None:
        """Settle a piece whose delivery was cancelled, or broken off because the journal failed."""
        if attempts.counted:
            self._run.in_flight(-1)
        piece, judged = attempts.piece, attempts.judged
        status = judged.status if judged is not None else None
        error: RequestError | None = None
        if attempts.outcome is Outcome.UNKNOWN:
            said = "outcome unknown; the run was ended while it was on its way"
            error = _error(OutcomeUnknownError, said, status=status, attempts=attempts.number)
        elif attempts.outcome is Outcome.NOT_SENT:
            said = "not sent (it was broken off before that)"
            error = _error(NotSentError, said, status=status, attempts=attempts.number)
        elif attempts.outcome is Outcome.REJECTED and judged is not None:
            error = judged.error(append_request(self._run.list_id, b"", piece.count), attempts.number)
        self._note(attempts.piece, attempts.outcome, attempts.number, status, error)
        if attempts.id:
            with contextlib.suppress(JournalError):  # also where it was written already, before the run was ended
                await self._write(attempts)

    async def _conclude(self, attempts: Attempts, delivery: Delivery) -> None:
        """Settle a piece by what its attempts proved, and stop the run where the last verdict asks for it."""
        piece, judged = attempts.piece, delivery.judged
        outcome = attempts.outcome_of(judged)
        error: RequestError | None = None
        if outcome is not Outcome.ACCEPTED:
            error = judged.error(append_request(self._run.list_id, b"", piece.count), delivery.attempts)
            if outcome is not judged.verdict.outcome:
                error = _error(
                    OutcomeUnknownError,
                    f"an earlier attempt may have been applied (the last: {error})",
                    status=judged.status,
                    attempts=delivery.attempts,
                    reference=error.reference,
                    retry_after=judged.retry_after,
                )
            reason = self._stop_reason(judged, outcome)
            if reason is not None:
                self._run.stop(reason, error)
        pending = attempts.event is Event.NOT_SENT
        self._note(piece, outcome, delivery.attempts, judged.status, error, pending=pending)
        await self._run.room()

    def _stop_reason(self, judged: Judged, outcome: Outcome) -> StopReason | None:
        if outcome is Outcome.UNKNOWN and self._run.on_unknown is OnUnknown.STOP:
            return StopReason.UNKNOWN
        reason = stop_reason(judged, self._run.deliverer.policy.max_retry_after)
        if reason is None and outcome is Outcome.REJECTED and self._run.on_rejected is OnRejected.STOP:
            return StopReason.REJECTED
        return reason

    async def _intend(self, attempts: Attempts) -> None:
        piece, now = attempts.piece, self._run.deliverer.clock.wall()
        intent = Intent(piece.index, piece.start, piece.count, piece.rows, attempts.id, now, piece.body)
        await self._run.journal.intend(intent)

    async def _write(self, attempts: Attempts) -> None:
        judged = attempts.judged
        settlement = Settlement(
            index=attempts.piece.index,
            start=attempts.piece.start,
            attempt_id=attempts.id,
            event=attempts.event,
            at=self._run.deliverer.clock.wall(),
            status=judged.status if judged is not None else None,
            reference=judged.answer.reference if judged is not None and judged.answer is not None else None,
        )
        if not await self._run.journal.settle(settlement):
            raise JournalError(_TAKEN_OVER)

    def _note(
        self,
        piece: Piece,
        outcome: Outcome,
        attempts: int,
        status: int | None,
        error: RequestError | None,
        *,
        resumed: bool = False,
        pending: bool = False,
    ) -> None:
        """Have what became of a piece counted and handed out."""
        self._settled.append((piece.start, piece.start + piece.count))
        made = ChunkOutcome(
            index=piece.index,
            first_record=piece.rows[0][0],
            count=piece.count,
            outcome=outcome,
            attempts=attempts,
            status=status,
            error=error,
            resumed=resumed,
            pending=pending or outcome is Outcome.NOT_SENT,
            runs=piece.rows,
            body=bytes(piece.body) if outcome is not Outcome.ACCEPTED else None,
        )
        self._run.note(made)

    async def _settle_rest(self) -> None:
        """Settle what this run did not come to, because it was stopped or cancelled on the way."""
        whole = self._whole
        gaps = list(_gaps(self._settled, whole.count))
        if not gaps:
            return
        records = split(whole.body)
        new = Part(whole.index, 0, whole.count, ChunkState.PENDING, whole.rows[0][0])
        steps = self._steps or (Step(0, whole.count, Fate.SEND, new),)
        for gap_start, gap_stop in gaps:
            for step in steps:
                start, stop = max(gap_start, step.start), min(gap_stop, step.start + step.count)
                if start < stop:
                    await self._settle_as_known(whole.cut(start, stop, records), step.part)


_OUTCOMES: Mapping[ChunkState, Outcome] = {
    ChunkState.PENDING: Outcome.NOT_SENT,
    ChunkState.INTENDED: Outcome.UNKNOWN,
    ChunkState.ACCEPTED: Outcome.ACCEPTED,
    ChunkState.REJECTED: Outcome.REJECTED,
    ChunkState.UNKNOWN: Outcome.UNKNOWN,
}
"""What is known of records that this run does not send, by the state an earlier one left them in."""


def _refusal(part: Part) -> RequestError:
    """Return the error of what an earlier run was refused, of the class that it had then.

    The verdict table knows it by the status alone: refusals of a key or an address do not stay in a journal. Where the
    body had decided, under a 200, it was a plain rejection.
    """
    by_status = classify(Operation.APPEND, Attempt(Stage.SENT, Reply(part.status or 0))).verdict
    kind = by_status.error if by_status.outcome is Outcome.REJECTED and by_status.error is not None else RejectedError
    answer = "" if part.status is None else f" (HTTP {part.status})"
    said = f"rejected by an earlier run{answer}"
    return _error(kind, said, status=part.status, attempts=part.attempts, reference=part.reference)


def _error(
    kind: type[E],
    said: str,
    *,
    status: int | None,
    attempts: int,
    reference: str | None = None,
    retry_after: float | None = None,
) -> E:
    name = Operation.APPEND.value
    return kind(
        f"{name}: {said}",
        operation=name,
        status=status,
        attempts=attempts,
        reference=reference,
        retry_after=retry_after,
    )


def _gaps(settled: Iterable[tuple[int, int]], count: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of ``count`` records that are in none of ``settled``."""
    at = 0
    for start, stop in [*sorted(settled), (count, count)]:
        if at < start:
            yield at, start
        at = max(at, stop)
