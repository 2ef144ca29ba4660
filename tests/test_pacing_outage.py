"""The pacer when the server cannot be reached: it waits, tries now and then, and loses nothing."""

from __future__ import annotations

import asyncio

import attrs
import pytest
from pacing_stand import stands

from mobiz_async.limits import BreakerState
from mobiz_async.models import Pace
from mobiz_async.pacing import Lane, Pacer
from mobiz_async.testing import FakeClock
from mobiz_async.verdicts import Verdict

ANSWERS = [
    verdict
    for verdict in Verdict
    if verdict not in (Verdict.NOT_STARTED, Verdict.CONNECT_FAILED, Verdict.NO_ANSWER, Verdict.THROTTLED)
]


@pytest.fixture
async def stand():
    async with stands() as make:
        yield make


async def fail_to_connect(one, count):
    start = len(one.got)
    await one.ask(count)
    for _, _, permit in one.got[start:]:
        permit.settle(Verdict.CONNECT_FAILED)


async def test_after_so_many_failed_connections_one_probe_at_a_time_goes(stand):
    one = stand(breaker_threshold=3, probe_base=0.5)
    await fail_to_connect(one, 3)
    await one.ask(5)
    at_once = len(one.got)
    await one.clock.advance(0.5)
    probes = [(time, permit.probe) for _, time, permit in one.got[3:]]
    assert (at_once, probes, one.pacer.breaker) == (3, [(0.5, True)], BreakerState.HALF_OPEN)


@pytest.mark.parametrize("verdict", ANSWERS, ids=lambda verdict: verdict.word)
async def test_any_answer_to_a_probe_closes_the_breaker(stand, verdict):
    one = stand(breaker_threshold=3)
    await fail_to_connect(one, 3)
    await one.ask(5)
    await one.clock.advance(0.5)
    one.permit().settle(verdict)
    await one.clock.settle()
    assert (one.pacer.breaker, len(one.got)) == (BreakerState.CLOSED, 8)


async def test_a_throttled_probe_closes_the_breaker_and_pauses(stand):
    one = stand(breaker_threshold=3)
    await fail_to_connect(one, 3)
    await one.ask(2)
    await one.clock.advance(0.5)
    one.permit().settle(Verdict.THROTTLED, 2.0)
    assert (one.pacer.breaker, one.pacer.paused_until) == (BreakerState.CLOSED, 2.5)


@pytest.mark.parametrize("verdict", [Verdict.CONNECT_FAILED, Verdict.NO_ANSWER], ids=lambda verdict: verdict.word)
async def test_a_probe_without_an_answer_makes_the_next_wait_longer(stand, verdict):
    one = stand(breaker_threshold=3, probe_base=0.5)
    await fail_to_connect(one, 3)
    await one.ask(2)
    await one.clock.advance(0.5)
    one.permit().settle(verdict)
    await one.clock.advance(10)
    assert one.times[3:] == [0.5, 1.5]


@pytest.mark.parametrize("verdict", [None, Verdict.NOT_STARTED])
async def test_a_probe_that_showed_nothing_is_followed_by_another(stand, verdict):
    one = stand(breaker_threshold=3, probe_base=0.5)
    await fail_to_connect(one, 3)
    await one.ask(2)
    await one.clock.advance(0.5)
    one.permit().settle(verdict)
    await one.clock.settle()
    assert (one.times[3:], one.permit().probe) == ([0.5, 0.5], True)


async def test_no_answer_does_not_open_the_breaker(stand):
    one = stand(breaker_threshold=1)
    await one.ask()
    one.permit().settle(Verdict.NO_ANSWER)
    assert one.pacer.breaker is BreakerState.CLOSED


async def test_single_triggers_pass_an_open_breaker_and_their_answer_closes_it(stand):
    one = stand(breaker_threshold=3)
    await fail_to_connect(one, 3)
    await one.ask(4)
    await one.ask(1, Lane.SINGLE)
    single = one.permit()
    single.settle(Verdict.ACCEPTED)
    await one.clock.settle()
    assert (single.probe, one.pacer.breaker, len(one.got)) == (False, BreakerState.CLOSED, 8)


async def test_a_probe_cancelled_as_its_turn_comes_lets_another_probe(stand):
    one = stand(concurrency=2, breaker_threshold=1, probe_base=1.0)
    await one.ask(1)
    one.permit().settle(Verdict.CONNECT_FAILED)
    waiting = await one.ask(2)
    one.clock._leap(1.0)  # the timer fires, and the first waiter is cancelled before it sees its permit
    await asyncio.sleep(0)
    half_open = one.pacer.breaker
    waiting[0].cancel()
    await one.clock.settle()
    assert (half_open, one.numbers, one.permit().probe) == (BreakerState.HALF_OPEN, [0, 2], True)


@attrs.define
class Outage:
    """Chunks sent by workers to a server that is down for a while; what each attempt was and when."""

    down: tuple[float, float]
    chunks: int = 100
    workers: int = 8
    clock: FakeClock = attrs.field(factory=lambda: FakeClock(auto=True))
    accepted: list = attrs.field(factory=list)
    probes: int = 0
    requests: int = 0
    most_attempts: int = 0

    async def run(self):
        pacer, todo = Pacer(Pace(concurrency=self.workers), self.clock), iter(range(self.chunks))

        async def worker():
            for chunk in todo:
                counted = 0
                while True:
                    permit = await pacer.admit(Lane.BULK, 10_000)
                    self.requests += 1
                    self.probes += permit.probe
                    counted += not permit.probe
                    await self.clock.sleep(0.05)
                    if not self.down[0] <= self.clock.monotonic() < self.down[1]:
                        await self.clock.sleep(0.45)
                        permit.settle(Verdict.ACCEPTED)
                        break
                    permit.settle(Verdict.CONNECT_FAILED)
                    await self.clock.sleep(0.1 * 2**counted)
                self.accepted.append(chunk)
                self.most_attempts = max(self.most_attempts, counted)

        await asyncio.gather(*(worker() for _ in range(self.workers)))


@pytest.mark.parametrize("begin", [0.0, 3.0], ids=["from the start", "in the middle"])
def test_ten_minutes_of_outage_cost_hardly_a_request_and_no_chunk(begin):
    """Requests are at most 1.1 x chunks and the probes, and no chunk runs out of attempts."""
    outage = Outage((begin, begin + 600.0))
    asyncio.run(outage.run())
    assert sorted(outage.accepted) == list(range(100))
    assert outage.requests <= 1.1 * 100 + outage.probes
    assert outage.probes <= 600 / 20 + 8
    assert outage.most_attempts <= 8
    assert outage.clock.monotonic() <= begin + 600 + 20 + 10
