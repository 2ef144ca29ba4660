"""Against servers that allow R requests a second: nearly all of R gets through, and hardly anything is refused."""

from __future__ import annotations

import functools
import math

import pytest
from throttling_servers import FixedWindow, Scenario, SlidingWindow, TokenBucket, none, simulate, whole_seconds

from mobiz_async.models import Pace
from mobiz_async.pacing import Lane

GATES = [FixedWindow, SlidingWindow, TokenBucket]
STEADY, NEARLY_STEADY = (0.05, 0.05), (0.01, 0.03)


def doubled(gate):
    gate.rate *= 2


@pytest.mark.parametrize("retry_after", [whole_seconds, none], ids=["Retry-After", "no Retry-After"])
@pytest.mark.parametrize("rate", [5, 20, 50])
@pytest.mark.parametrize("gate", GATES)
def test_after_twenty_seconds_most_of_the_rate_gets_through_and_little_is_refused(gate, rate, retry_after):
    """At least 85 % of R and at most 5 % refusals; the first twenty seconds reach 85 % as well."""
    log, _ = simulate(Scenario(functools.partial(gate, rate), latency=NEARLY_STEADY, retry_after=retry_after))
    assert log.rate(0, 20) >= 0.85 * rate
    assert log.rate(20, 50) >= 0.85 * rate
    assert log.share_refused(20, 50) <= 0.05


@pytest.mark.parametrize("gate", GATES)
def test_the_first_twenty_seconds_themselves_have_few_refusals(gate):
    """The burst that finds the limit is at most what is in flight, which 20/s and more outweigh."""
    log, _ = simulate(Scenario(functools.partial(gate, 20), latency=STEADY, seconds=20))
    assert log.share_refused(0, 20) <= 0.05


@pytest.mark.parametrize("then_at", [60.0, 66.0, 73.0])
@pytest.mark.parametrize("gate", GATES)
def test_a_doubled_rate_is_found_within_thirty_seconds(gate, then_at):
    """Some five seconds within the thirty have at least 90 % of the new R, and so has the time after, on average."""
    log, _ = simulate(
        Scenario(
            functools.partial(gate, 20),
            latency=NEARLY_STEADY,
            seconds=then_at + 75,
            then=doubled,
            then_at=then_at,
        )
    )
    best = max(log.rate(then_at + second, then_at + second + 5) for second in range(26))
    assert best >= 0.9 * 40
    assert log.rate(then_at + 30, then_at + 75) >= 0.88 * 40
    assert log.share_refused(then_at, then_at + 75) <= 0.05


@pytest.mark.parametrize("gate", GATES)
def test_a_halved_rate_is_found_at_once(gate):
    def halved(server):
        server.rate /= 2

    log, _ = simulate(
        Scenario(functools.partial(gate, 40), latency=NEARLY_STEADY, seconds=100, then=halved, then_at=50.0)
    )
    assert log.rate(60, 100) >= 0.85 * 20
    assert log.share_refused(50, 100) <= 0.05


@pytest.mark.parametrize("gate", GATES)
def test_wildly_varying_latency_costs_a_little_more(gate):
    """Answers take 5 to 200 ms, so evenly spaced requests arrive in clumps: still 75 % of R, and few refusals."""
    log, _ = simulate(Scenario(functools.partial(gate, 20), latency=(0.005, 0.2), seconds=80))
    assert log.rate(20, 80) >= 0.75 * 20
    assert log.share_refused(20, 80) <= 0.05


def test_a_limit_by_the_minute_is_learnt_from_the_wait_it_asks_for():
    """300 calls a minute and Retry-After to the end of it: 5/s from the second minute on, hardly refused."""
    log, _ = simulate(Scenario(functools.partial(FixedWindow, 5, 60.0), latency=STEADY, seconds=360))
    assert log.rate(60, 360) >= 0.85 * 5
    assert log.share_refused(60, 360) <= 0.05


def test_single_triggers_are_paced_alike():
    log, _ = simulate(
        Scenario(functools.partial(SlidingWindow, 50), latency=STEADY, lane=Lane.SINGLE, workers=100, seconds=50)
    )
    assert log.rate(20, 50) >= 0.85 * 50
    assert log.share_refused(20, 50) <= 0.05


def test_no_request_arrives_before_the_server_said():
    """After each refusal the server sees nothing until its Retry-After is over, but for what was on its way."""
    told: list[tuple[float, float]] = []

    class Watching(SlidingWindow):
        def ask(self, now):
            wait = super().ask(now)
            if wait is not None:
                told.append((now, now + whole_seconds(wait)))
            return wait

    log, _ = simulate(Scenario(functools.partial(Watching, 20), latency=STEADY, seconds=60))
    arrivals = sorted(log.accepted + log.refused)
    on_its_way = 0.05 + 1e-9
    early = [at for began, over in told for at in arrivals if began + on_its_way < at < over]
    assert (early, bool(told)) == ([], True)


def test_a_server_that_never_refuses_is_never_held_back():
    log, pacer = simulate(Scenario(functools.partial(TokenBucket, 10**9), latency=STEADY, seconds=20))
    assert (round(log.rate(0, 20) * 0.05), pacer.learnt_rate, pacer.limit) == (8, None, 8)


class OneInTwenty:
    """Sheds load: every twentieth request is refused, however many there are."""

    rate = math.inf

    def __init__(self):
        self._seen = 0

    def ask(self, _now):
        self._seen += 1
        return None if self._seen % 20 else 1.0


def test_refusals_that_have_nothing_to_do_with_the_rate_do_not_slow_the_client_more_and_more():
    log, _ = simulate(Scenario(OneInTwenty, latency=STEADY, seconds=600))
    assert log.rate(100, 600) >= 5


def test_a_cap_below_the_servers_limit_is_never_refused():
    scenario = Scenario(functools.partial(SlidingWindow, 20), latency=STEADY, pace=Pace(requests_per_second=18))
    log, pacer = simulate(scenario)
    assert (log.refused, pacer.learnt_rate) == ([], None)
    assert log.rate(0, 50) >= 0.98 * 18


def test_the_same_scenario_gives_the_same_run():
    scenario = Scenario(functools.partial(SlidingWindow, 20), latency=(0.005, 0.2), seconds=30)
    assert simulate(scenario)[0] == simulate(scenario)[0]
