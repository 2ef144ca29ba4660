"""One request, from the queue to its verdict: pacing, attempts, verdicts, retries and events, in that order.

It decides nothing: ``verdicts`` says what an attempt proved, ``retrying`` whether there is another, ``pacing`` when.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import attrs

from mobiz_async.cancelling import outlast
from mobiz_async.clock import Clock
from mobiz_async.logs import level_of, log, say
from mobiz_async.models import Outcome, RetryPolicy
from mobiz_async.pacing import Lane, Pacer, Permit
from mobiz_async.reports import AttemptEvent, EventHook
from mobiz_async.retrying import decide, repeat
from mobiz_async.transport import Transport
from mobiz_async.verdicts import Attempt, Failure, Judged, Stage, Verdict, classify
from mobiz_async.wire import Request

__all__ = ["Deliverer", "Delivery", "Hooks"]

T = TypeVar("T")


@attrs.frozen
class Delivery:
    """How a request ended: the last attempt's verdict, and how many attempts there were (POSTs begun)."""

    judged: Judged
    attempts: int
    cut_short: bool = False
    """Whether it was cancelled, and this is what was proven by then."""


@attrs.frozen
class Hooks:
    """What is told of each attempt, and may stop it by raising.

    ``before`` has returned before the first byte goes out; ``after`` is given what each attempt proved, before the next
    one begins; ``on_stage`` how far the attempt is.
    """

    before: Callable[[], Awaitable[None]]
    after: Callable[[Judged], Awaitable[None]]
    on_stage: Callable[[Stage], None]


@attrs.define(eq=False)
class Deliverer:
    """What every operation of a client sends through."""

    transport: Transport
    pacer: Pacer
    policy: RetryPolicy
    clock: Clock
    events: Sequence[EventHook] = ()
    chance: Callable[[], float] = random.random
    """Returns a number from 0 to 1; for the jitter of backoffs."""
    reached: bool = False
    """Whether the server has ever answered. An outage is waited out; an address that never answered is not."""
    closed: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set when no further attempt is to begin: what is under way ends with what it has."""

    async def deliver(
        self,
        request: Request,
        lane: Lane,
        *,
        hooks: Hooks | None = None,
        deadline: float | None = None,
        halt: asyncio.Event | None = None,
        resend_unknown: bool = False,
        patient: bool = False,
        in_doubt: bool = False,
        cut_short: Failure | None = None,
    ) -> Delivery:
        """Send ``request`` until there is nothing more to gain by sending it.

        Once ``halt`` is set, or the deliverer closed, no further attempt begins. ``deadline`` is in the clock's
        monotonic seconds. ``patient``: attempts that were probes of an open breaker do not count against
        ``max_attempts`` once the server was reached, so that an outage is waited out. ``in_doubt``: an earlier run may
        have had it applied; events are told so. ``cut_short``: being cancelled ends it with what is proven by then, for
        a task that others wait for, and this is said to be why. Raises what the hooks raise, and else
        ``CancelledError``; the rest is a verdict.
        """
        started = self.clock.monotonic()
        course = _Course(self, request, lane, hooks, deadline, halt, resend_unknown, patient, in_doubt, started)
        try:
            judged = await repeat(course.attempt, course.sleep)
        except asyncio.CancelledError as cancelled:
            known = course.cancelled(cancelled, cut_short or Failure.CANCELLED)
            if known is None or cut_short is None:
                raise
            return Delivery(known, course.posts, cut_short=True)
        return Delivery(judged, course.posts)

    async def aclose(self) -> None:
        """Let no further attempt begin, end the waits for one, and close the transport under those that have begun."""
        self.closed.set()
        self.pacer.close()
        await self.transport.aclose()

    def tell(self, event: AttemptEvent) -> None:
        """Hand ``event`` to the hooks and the log. A hook that raises is logged, by its class alone, and ignored.

        A ``CancelledError`` of a hook cancels nobody: nothing is awaited here, so it is of something else.
        """
        level = level_of(event)
        if log.isEnabledFor(level):
            say(level, "%s: %s", event.operation, event.verdict, extra={"mobiz": attrs.asdict(event)})
        for hook in self.events:
            try:
                hook(event)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  it must not change what it observes
                say(logging.WARNING, "an event hook raised %s", type(error).__name__)


@attrs.define(eq=False, repr=False)
class _Course:
    """The attempts at one request. ``Deliverer.deliver`` says what its parameters mean."""

    _deliverer: Deliverer
    _request: Request
    _lane: Lane
    _hooks: Hooks | None
    _deadline: float | None
    _halt: asyncio.Event | None
    _resend_unknown: bool
    _patient: bool
    _doubted: bool
    _started: float
    posts: int = 0
    """Attempts begun, each of which is a POST."""
    _counted: int = 0
    """Those of them that ``max_attempts`` bounds."""
    _stage: Stage = Stage.QUEUED
    """How far the current attempt is."""
    _began: float = 0.0
    """When it began."""
    _told_all: bool = False
    """Whether the last attempt's event was the last word about the request."""
    _in_doubt: Judged | None = None
    """The last attempt that may have been applied."""

    async def attempt(self) -> tuple[Judged, float | None]:
        """Make one attempt when the pacer allows; return what is proven by now, and in how many seconds another goes.

        None: there is no other.
        """
        permit = await self._admitted()
        if isinstance(permit, Failure):
            judged = self._judge(Attempt(Stage.QUEUED, failure=permit))
            if permit is Failure.PAUSED:
                judged = attrs.evolve(judged, retry_after=self._deliverer.pacer.refused_for)
            again_in = self._decide(judged)
            self._tell(judged, again_in)
            return self._proven(judged), again_in
        try:
            judged = await self._post()
        except BaseException:
            permit.settle(None)
            raise
        self._deliverer.reached = self._deliverer.reached or judged.status is not None
        waited_out = (
            self._patient and self._deliverer.reached and permit.probe and judged.verdict is Verdict.CONNECT_FAILED
        )
        self._counted += not waited_out
        again_in = self._decide(judged)
        permit.settle(judged.verdict, judged.retry_after, again_in)
        self._tell(judged, again_in)
        proven = self._proven(judged)
        if self._hooks is not None:
            await self._hooks.after(proven)
        return proven, again_in

    def _proven(self, judged: Judged) -> Judged:
        """Return what all attempts prove: that the last one was not applied says nothing about an earlier one."""
        if judged.verdict.outcome is Outcome.UNKNOWN:
            self._in_doubt = judged
        elif judged.verdict.outcome is Outcome.NOT_SENT and self._in_doubt is not None:
            return self._in_doubt
        return judged

    async def sleep(self, seconds: float) -> None:
        """Wait for the next attempt, or until there is to be none."""
        await _first(self._deliverer.clock.sleep(seconds), (self._halt or self._deliverer.closed).wait())

    async def _admitted(self) -> Permit | Failure:
        """Return a permit, or why there is to be no attempt."""
        if (over := self._over()) is not None:
            return over
        pacer = self._deliverer.pacer
        permit = pacer.admit_now(self._lane, self._request.records)
        if permit is not None:
            return permit
        admit = pacer.admit(self._lane, self._request.records)
        if self._halt is None and self._deliverer.policy.deadline is None:
            permit = await admit
        else:
            permit = await _first(admit, self._no_more(), _unused)
        if (over := self._over()) is not None:
            _unused(permit)
            return over
        if permit is None:
            return Failure.PAUSED if pacer.refused_for or self._deliverer.policy.deadline is None else Failure.DEADLINE
        return permit

    def _over(self) -> Failure | None:
        """Return why no further attempt begins, or None where one may."""
        if self._deliverer.closed.is_set():
            return Failure.CLOSED
        if self._halt is not None and self._halt.is_set():
            return Failure.STOPPED
        return None

    async def _no_more(self) -> None:
        """Return when no further attempt may begin: the run has ended, or the policy's deadline has passed."""
        over = (self._halt or self._deliverer.closed).wait()
        deadline = self._deliverer.policy.deadline
        if deadline is None:
            await over
        else:
            left = max(0.0, self._started + deadline - self._deliverer.clock.monotonic())
            await _first(self._deliverer.clock.sleep(left), over)

    async def _post(self) -> Judged:
        if self._hooks is not None:
            await self._hooks.before()
        self.posts += 1
        self._began = self._deliverer.clock.monotonic()
        return self._judge(await self._deliverer.transport.post(self._request, self._mark))

    def _mark(self, stage: Stage) -> None:
        self._stage = stage
        if self._hooks is not None:
            self._hooks.on_stage(stage)

    def _judge(self, attempt: Attempt) -> Judged:
        return classify(self._request.operation, attempt, now=self._deliverer.clock.wall(), sent=self._request.body)

    def _decide(self, judged: Judged) -> float | None:
        now = self._deliverer.clock.monotonic()
        return decide(
            judged.verdict,
            attempt=self._counted,
            policy=self._deliverer.policy,
            elapsed=now - self._started,
            chance=self._deliverer.chance(),
            retry_after=judged.retry_after,
            deadline=None if self._deadline is None else self._deadline - self._started,
            resend_unknown=self._resend_unknown,
        )

    def cancelled(self, error: asyncio.CancelledError, why: Failure) -> Judged | None:
        """Tell the hooks of an attempt, or of a wait for one, that a cancellation broke off; return what is proven.

        None where the last attempt had ended and was told of: the cancellation came after that.
        """
        if self._told_all:
            return None
        if why is Failure.CLOSED and self._stage >= Stage.SENDING:
            why = Failure.DISCONNECTED  # what it says is: before it was sent
        judged = self._judge(Attempt(self._stage, failure=why))
        self._tell(judged, None)
        if judged.verdict.outcome is Outcome.UNKNOWN:
            error.add_note(
                f"mobiz_async: {self._request.operation.value} was cancelled after it may have gone out; "
                "its outcome is unknown"
            )
        return self._proven(judged)

    def _tell(self, judged: Judged, again_in: float | None) -> None:
        outcome = judged.verdict.outcome
        if again_in is None and outcome is not Outcome.ACCEPTED and (self._doubted or self._in_doubt is not None):
            outcome = Outcome.UNKNOWN  # the last word is about all attempts: only an acceptance settles an unknown
        begun = self._stage is not Stage.QUEUED
        self._stage = Stage.QUEUED
        self._told_all = again_in is None
        if judged.verdict is Verdict.ACCEPTED and not self._deliverer.events and not log.isEnabledFor(logging.DEBUG):
            return
        self._deliverer.tell(
            AttemptEvent(
                operation=self._request.operation.value,
                outcome=outcome,
                verdict=judged.verdict.word,
                status=judged.status,
                records=self._request.records,
                seconds=self._deliverer.clock.monotonic() - self._began if begun else 0.0,
                attempt=self.posts,
                bytes=len(self._request.body),
                retry_in=again_in,
            )
        )


def _unused(permit: Permit | None) -> None:
    if permit is not None:
        permit.settle(None)


def _drop(_: object) -> None:
    return


async def _first(
    wanted: Coroutine[Any, Any, T], other: Coroutine[Any, Any, Any], discard: Callable[[T], None] = _drop
) -> T | None:
    """Return ``wanted``'s result, or None when ``other`` ends first. Neither is left behind.

    When the caller is cancelled in the very moment ``wanted`` ends, ``discard`` is given what nobody else will get.
    """
    first, second = asyncio.ensure_future(wanted), asyncio.ensure_future(other)
    try:
        await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
        cancelled = None
    except asyncio.CancelledError as error:
        cancelled = error
    first.cancel()
    second.cancel()
    cancelled = await outlast(first, second) or cancelled
    if cancelled is not None:
        if not first.cancelled() and first.exception() is None:
            discard(first.result())
        raise cancelled
    return None if first.cancelled() else first.result()
