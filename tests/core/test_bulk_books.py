"""The books of bulk runs against the truth, whatever a server does."""

from __future__ import annotations

import asyncio
import collections
import itertools
from typing import Any

from fakes import Network, accepted, client_on, failed, numbers, replied, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from mobiz_async import (
    BulkReport,
    OnRejected,
    OnUnknown,
    Outcome,
    RetryPolicy,
)
from mobiz_async.testing import FakeClock
from mobiz_async.verdicts import Failure, Stage
from mobiz_async.wire import Request

# The books, whatever happens


class World:
    """A server that is told for each request whether it applies it and what it answers, and keeps the truth."""

    def __init__(self, script: list[tuple[str, bool]]) -> None:
        self.script = itertools.cycle(script)
        self.applied: collections.Counter[str] = collections.Counter()
        self.posted: collections.Counter[str] = collections.Counter()
        self.network = Network(self.answer, keep=True)

    def answer(self, request: Request, n: int) -> Any:
        kind, applies = next(self.script)
        records = [record["Number"] for record in self.network.bodies[-1]]
        self.posted.update(records)
        match kind:
            case "accept":
                self.applied.update(records)
                return accepted(request)
            case "lose" | "500":
                self.applied.update(records if applies else ())
                return failed() if kind == "lose" else replied(500)
            case "throttle":
                return replied(429, None, retry_after="1")
            case "refuse":
                return failed(Stage.CONNECTING, Failure.CONNECT)
            case "reject":
                return replied(400, {"status": 0})
        raise AssertionError(kind)


happenings = st.tuples(
    st.sampled_from(["accept", "accept", "lose", "500", "throttle", "refuse", "reject"]), st.booleans()
)


async def run_in(world: World, records: list[Any], stop_after: int | None, **options: Any) -> tuple[BulkReport, dict]:
    outcomes: dict[str, Outcome] = {}
    clock = FakeClock(auto=True)
    async with (
        client_on(world.network, clock, retry=RetryPolicy(max_attempts=3)) as client,
        client.bulk("1", records, **options) as run,
    ):
        async for chunk in run:
            for row in (first + n for first, length in chunk.runs for n in range(length)):
                assert row not in outcomes
                outcomes[row] = chunk.outcome
            if stop_after is not None and len(outcomes) >= stop_after:
                run.stop()
        report = await run.finish()
    return report, outcomes


@settings(max_examples=150, deadline=None)
@given(
    st.lists(happenings, min_size=1, max_size=12),
    st.integers(0, 40),
    st.integers(1, 7),
    st.integers(1, 4),
    st.tuples(st.sampled_from(OnUnknown), st.sampled_from([OnRejected.KEEP, OnRejected.STOP])),
    st.none() | st.integers(0, 20),
    st.none() | st.floats(0.1, 1.0),
    st.sets(st.integers(0, 39), max_size=4),
)
def test_the_books_balance_and_tell_the_truth(
    script, count: int, size: int, concurrency: int, policies, stop_after, rate, bad: set[int]
) -> None:
    """Whatever a server does: every record has one outcome, and no outcome claims what is not so."""
    on_unknown, on_rejected = policies
    world = World(script)
    records: list[Any] = rows(count)
    for position in bad:
        if position < count:
            records[position] = None

    report, outcomes = asyncio.run(
        run_in(
            world,
            records,
            stop_after,
            chunk_size=size,
            concurrency=concurrency,
            on_unknown=on_unknown,
            on_rejected=on_rejected,
            on_invalid="skip",
            max_failure_rate=rate,
        )
    )

    assert report.read == report.accepted + report.rejected + report.not_sent + report.unknown + report.skipped
    tally = collections.Counter(outcomes.values())
    assert (tally[Outcome.ACCEPTED], tally[Outcome.REJECTED], tally[Outcome.UNKNOWN]) == (
        report.accepted,
        report.rejected,
        report.unknown,
    )
    assert report.requests == world.network.count
    for row, record in enumerate(records, 1):
        if record is None:
            assert row not in outcomes
            continue
        times = world.applied[record["Number"]]
        match outcomes.get(row, Outcome.NOT_SENT):
            case Outcome.ACCEPTED:
                assert times >= 1
            case Outcome.REJECTED | Outcome.NOT_SENT:
                assert times == 0
        if on_unknown is not OnUnknown.RESEND:
            assert times <= 1
    if report.stopped is None:
        assert report.read == count


@settings(max_examples=60, deadline=None)
@given(st.lists(happenings, min_size=1, max_size=8), st.integers(1, 4), st.integers(1, 30), st.sampled_from(OnUnknown))
def test_a_cancelled_runs_books_tell_the_truth_too(script, concurrency: int, after: int, on_unknown) -> None:
    world = World(script)
    cancelling: list[asyncio.Task[Any]] = []
    answer = world.network.answer

    def cancel_at(request: Request, n: int) -> Any:
        if n == after:
            cancelling[0].cancel()
        return answer(request, n)

    world.network.answer = cancel_at
    runs: list[Any] = []

    async def run() -> None:
        async with (
            client_on(world.network, FakeClock(auto=True), retry=RetryPolicy(max_attempts=3)) as client,
            client.bulk("1", rows(60), chunk_size=4, concurrency=concurrency, on_unknown=on_unknown) as made,
        ):
            runs.append(made)
            await made.finish()

    async def main() -> None:
        cancelling.append(asyncio.create_task(run()))
        await asyncio.wait(cancelling)

    asyncio.run(main())

    report = runs[0].report
    assert report.read == report.accepted + report.rejected + report.not_sent + report.unknown
    unclear = sum(1 for number in numbers(60) if world.applied[number])
    assert report.accepted <= unclear <= report.accepted + report.unknown
    assert world.network.in_flight == 0
