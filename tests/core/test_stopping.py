"""What ends a run: the same for lists and for triggers, after the same number of requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mobiz_async import MobizClient, MobizError, NotSentError, RetryPolicy, StopReason, ThrottledError
from mobiz_async.stopping import STOPS
from mobiz_async.testing import (
    Answer,
    FakeClock,
    FakeTransport,
    accepted,
    json_reply,
    no_connection,
    quota_exceeded,
    server_error,
    throttled,
    unauthorized,
)
from mobiz_async.verdicts import Verdict

PEOPLE = [{"A": f"2782{n:07d}", "Number": f"2782{n:07d}"} for n in range(100)]
RUNS: dict[str, Callable[..., Any]] = {
    "send_bulk": lambda client, rows=PEOPLE: client.send_bulk("1", rows, chunk_size=10),
    "trigger_many": lambda client, rows=PEOPLE: client.trigger_many("key", rows, batch_size=10),
}


def client_on(fake: FakeTransport, **settings: Any) -> MobizClient:
    return MobizClient(transport=fake, clock=FakeClock(auto=True), **settings)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(
    ("answer", "reason", "requests"),
    [
        (unauthorized(), StopReason.CREDENTIALS, 1),
        (json_reply(404, {}), StopReason.MISDIRECTED, 1),
        (json_reply(302, {}), StopReason.MISDIRECTED, 1),
        (quota_exceeded(), StopReason.QUOTA, 1),
        (throttled(86_400), StopReason.QUOTA, 1),
        (no_connection(), StopReason.UNREACHABLE, 8),
    ],
    ids=["credentials", "no such address", "redirected", "quota", "too long a pause", "no server"],
)
async def test_what_every_other_request_would_meet_ends_a_run(
    run: str, answer: Answer, reason: StopReason, requests: int
) -> None:
    fake = FakeTransport(then=answer)
    async with client_on(fake) as client:
        report = await RUNS[run](client)

    assert (report.stopped, len(fake.requests), report.accepted, report.ok) == (reason, requests, 0, False)
    with pytest.raises(MobizError) as raised:
        report.raise_for_failures()
    assert raised.value.report is report


@pytest.mark.parametrize("run", RUNS)
async def test_what_only_one_request_met_ends_none(run: str) -> None:
    fake = FakeTransport([accepted, server_error(), json_reply(400, {})])
    async with client_on(fake) as client:
        report = await RUNS[run](client)

    assert (report.stopped, len(fake.requests), report.accepted) == (None, 10, 80)


@pytest.mark.parametrize("run", RUNS)
async def test_an_outage_after_the_server_was_reached_ends_none(run: str) -> None:
    clock = FakeClock(auto=True)

    def answer(posted: Any) -> Any:
        return no_connection() if posted.number > 1 and clock.monotonic() < 600 else accepted(posted)

    async with MobizClient(transport=FakeTransport(then=answer), clock=clock) as client:
        report = await RUNS[run](client)

    assert (report.ok, report.stopped, report.accepted) == (True, None, 100)


@pytest.mark.parametrize("run", RUNS)
async def test_a_run_begun_during_too_long_a_pause_ends_at_its_first_request(run: str) -> None:
    fake = FakeTransport([throttled(86_400)])
    async with client_on(fake) as client:
        with pytest.raises(ThrottledError):
            await client.trigger("key", PEOPLE[0])
        report = await RUNS[run](client)

    assert (len(fake.requests), report.stopped, report.accepted) == (1, StopReason.QUOTA, 0)


@pytest.mark.parametrize("run", RUNS)
async def test_a_source_that_fails_is_why_the_run_ended(run: str) -> None:
    async with client_on(FakeTransport()) as client:
        with pytest.raises(MobizError) as raised:
            await RUNS[run](client, [*PEOPLE, {"A": float("nan"), "Number": float("nan")}])

    assert raised.value.report is not None
    assert raised.value.report.stopped is StopReason.SOURCE


async def test_an_absurd_pause_is_over_after_the_longest_and_says_how_long_it_lasts() -> None:
    clock = FakeClock()
    fake = FakeTransport([throttled(1_795_000_000)])
    async with MobizClient(transport=fake, clock=clock, retry=RetryPolicy(max_retry_after=3600.0)) as client:
        with pytest.raises(ThrottledError):
            await client.trigger("key", PEOPLE[0])
        await clock.advance(600)
        with pytest.raises(NotSentError, match="longer pause") as raised:
            await client.trigger("key", PEOPLE[0])
        await clock.advance(3000)
        receipt = await client.trigger("key", PEOPLE[0])

    assert (raised.value.retry_after, raised.value.attempts, len(fake.requests)) == (3000.0, 0, 2)
    assert receipt.message_id


@pytest.mark.parametrize("named", [None, 0], ids=["nothing named", "zero named"])
@pytest.mark.parametrize("run", RUNS)
async def test_half_a_minute_of_refusals_is_outlasted_whatever_they_name(run: str, named: float | None) -> None:
    """A 0 is also what a date is to a clock that is fast."""
    clock = FakeClock(auto=True)

    def answer(posted: Any) -> Any:
        return accepted(posted) if clock.monotonic() >= 30 else throttled(named)

    fake = FakeTransport(then=answer)
    async with MobizClient(transport=fake, clock=clock, retry=RetryPolicy(max_attempts=40)) as client:
        report = await RUNS[run](client)

    assert report.accepted == 100
    assert len(fake.requests) < 50


def test_the_table_holds_no_verdict_that_is_about_one_request_alone() -> None:
    alone = {Verdict.ACCEPTED, Verdict.INVALID_PAYLOAD, Verdict.MISSING_FIELDS, Verdict.TOO_LARGE, Verdict.REFUSED}
    passing = {Verdict.NOT_STARTED, Verdict.THROTTLED, Verdict.NO_ANSWER, Verdict.SERVER_ERROR, Verdict.UNREADABLE}

    assert STOPS.keys() == set(Verdict) - alone - passing


async def test_a_long_retry_after_is_not_told_as_a_quota_alone() -> None:
    """Whoever reads it would go and buy more calls."""
    async with MobizClient(transport=FakeTransport([throttled(86_400)])) as client:
        report = await client.send_bulk("1", [{"Number": "27821234567"}])

    assert report.stopped is StopReason.QUOTA
    assert "too long a wait" in report.stopped.value
