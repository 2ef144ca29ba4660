"""The arithmetic of pacing: no loop, no clock."""

from __future__ import annotations

import contextlib
import math

import pytest

from mobiz_async.limits import Breaker, BreakerState, ConcurrencyLimit, LearntRate, Meter, Tally


def limit(ceiling=8):
    return ConcurrencyLimit(ceiling, increase=1.0, decrease=0.7)


def test_concurrency_starts_at_its_ceiling_and_shrinks_by_a_factor():
    tested = limit(10)
    seen = [tested.value]
    for _ in range(3):
        tested.throttled()
        seen.append(tested.value)
    assert seen == [10, 7, 4, 3]


def test_concurrency_never_falls_below_one():
    tested = limit()
    for _ in range(50):
        tested.throttled()
    assert tested.value == 1


def test_concurrency_grows_by_one_a_round_trip_while_it_is_used():
    tested = limit(10)
    tested.throttled()
    seen = []
    for _ in range(3):
        for _ in range(tested.value + 1):
            tested.accepted(tested.value)
        seen.append(tested.value)
    assert seen == [8, 9, 10]


def test_concurrency_that_is_not_used_does_not_grow():
    tested = limit(10)
    tested.throttled()
    for _ in range(1000):
        tested.accepted(tested.value - 1)
    assert tested.value == 7


def test_concurrency_never_grows_beyond_its_ceiling():
    tested = limit(4)
    tested.throttled()
    for _ in range(1000):
        tested.accepted(4)
    assert tested.value == 4


@pytest.mark.parametrize(("cut", "expected"), [(False, 32), (True, 5)], ids=["uncut", "cut"])
def test_a_higher_ceiling_lifts_an_uncut_limit_at_once_and_a_cut_one_not(cut, expected):
    tested = limit(8)
    if cut:
        tested.throttled()
    with tested.allowing(32):
        assert (tested.value, tested.ceiling) == (expected, 32)


def test_a_lower_ceiling_is_not_taken_up():
    tested = limit(8)
    with tested.allowing(2):
        assert (tested.value, tested.ceiling) == (8, 8)


def test_a_higher_ceiling_ends_with_its_block_also_where_the_block_raises():
    tested = limit(8)
    with pytest.raises(KeyError), tested.allowing(32):
        raise KeyError
    assert (tested.value, tested.ceiling) == (8, 8)


@pytest.mark.parametrize("first_out", [0, 1])
def test_of_blocks_that_overlap_the_highest_ceiling_that_is_left_counts(first_out):
    tested, blocks = limit(8), [contextlib.ExitStack(), contextlib.ExitStack()]
    seen = []
    for block, ceiling in zip(blocks, (16, 32), strict=True):
        block.enter_context(tested.allowing(ceiling))
        seen.append(tested.value)
    for block in (blocks[first_out], blocks[1 - first_out]):
        block.close()
        seen.append(tested.value)
    assert seen == [16, 32, (32, 16)[first_out], 8]


def test_two_blocks_of_the_same_ceiling_are_two():
    tested = limit(8)
    with tested.allowing(32):
        with tested.allowing(32):
            pass
        assert tested.value == 32


def test_what_was_learnt_below_the_ceiling_outlasts_a_higher_one():
    tested = limit(8)
    with tested.allowing(32):
        for _ in range(6):
            tested.throttled()
        learnt = tested.value
    assert (learnt, tested.value) == (3, 3)


def test_what_was_learnt_above_the_ceiling_is_there_when_it_rises_again():
    tested = limit(8)
    with tested.allowing(32):
        tested.throttled()
    fallen = tested.value
    with tested.allowing(32):
        assert (fallen, tested.value) == (8, 22)


def test_a_limit_is_cut_from_the_ceiling_that_it_has_fallen_to():
    tested = limit(10)
    with tested.allowing(32):
        tested.throttled()
    tested.throttled()
    assert tested.value == 7


def test_a_limit_that_has_grown_back_to_its_ceiling_is_uncut():
    tested = limit(4)
    tested.throttled()
    for _ in range(1000):
        tested.accepted(4)
    with tested.allowing(32):
        assert tested.value == 32


def test_a_limit_that_forgets_is_its_ceiling_again_under_whatever_ceiling():
    tested = limit(8)
    for _ in range(5):
        tested.throttled()
    cut = tested.value
    tested.forget()
    with tested.allowing(32):
        assert (cut, tested.value) == (1, 32)
    assert tested.value == 8


def taken_at(meter, units, count):
    """The times of ``count`` takings, each as early as the meter allows, from time 0."""
    now, times = 0.0, []
    for _ in range(count):
        now = max(now, meter.ready_at)
        times.append(now)
        meter.take(now, units)
    return times


def test_a_meter_lets_so_many_a_second_through():
    assert taken_at(Meter(4, slack=0), 1, 5) == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_chunk_larger_than_a_second_goes_whole_and_the_next_waits_for_it():
    assert taken_at(Meter(500, slack=0), 10_000, 3) == [0.0, 20.0, 40.0]


def test_an_idle_time_saves_up_no_more_than_the_slack():
    meter = Meter(100, slack=0.02)
    meter.take(0.0, 1)
    now, burst = 50.0, 0
    while meter.ready_at <= now:
        meter.take(now, 1)
        burst += 1
    assert burst == 3


def test_what_was_given_back_can_be_taken_again():
    meter = Meter(10, slack=0)
    meter.take(0.0, 50)
    meter.give_back(50)
    assert meter.ready_at == 0.0


@pytest.mark.parametrize("a_second", [2, 100, 400, 5000])
def test_a_tally_counts_to_half_a_percent_in_little_memory(a_second):
    tally, seconds = Tally(240.0), 300
    for number in range(a_second * seconds):
        tally.add(number / a_second)
    for span in (1.0, 60.0, 240.0):
        assert tally.since(seconds - span) == pytest.approx(span * a_second, rel=0.005, abs=1)
    assert sum(map(len, tally._levels)) <= 8000


def test_a_tally_of_few_is_exact():
    tally = Tally(240.0)
    for number in range(500):
        tally.add(float(number))
    assert [tally.since(start) for start in (-1.0, 0.0, 489.5, 499.0)] == [500, 499, 10, 0]


def learnt(accepted=50, window=0.5, pause=1.0):
    """A rate learnt from a burst that was refused after ``accepted`` requests in ``window`` seconds."""
    rate = LearntRate()
    for step in range(accepted):
        rate.accepted(step * window / accepted)
    rate.throttled(window, pause)
    return rate


def test_without_a_refusal_there_is_no_rate():
    rate = LearntRate()
    for step in range(10_000):
        rate.accepted(step / 1000)
    assert rate.rate is None


def test_a_refusal_before_anything_was_accepted_teaches_nothing():
    rate = LearntRate()
    rate.throttled(0.0, 1.0)
    assert rate.rate is None


@pytest.mark.parametrize(
    ("accepted", "window", "pause", "expected"),
    [(50, 0.5, 1.0, 50), (50, 0.02, 1.0, 50), (300, 2.0, 58.0, 300 / 58), (300, 10.0, 1.0, 30)],
    ids=["a second's worth", "at once", "a minute's window", "a steady stream"],
)
def test_the_first_refusal_shows_the_rate(accepted, window, pause, expected):
    assert learnt(accepted, window, pause).rate == pytest.approx(expected * 0.97, rel=0.01)


def test_a_rate_of_hundreds_a_second_is_measured_over_a_whole_minute():
    assert learnt(accepted=200 * 60, window=60.0, pause=60.0).rate == pytest.approx(200 * 0.97, rel=0.01)


@pytest.mark.parametrize(("every", "pause"), [(60, 60), (10, 60), (0.5, 60), (0.5, 1), (2, 1)])
def test_light_traffic_up_to_a_refusal_is_demand_and_teaches_no_rate(every, pause):
    rate = LearntRate()
    for step in range(600):
        rate.accepted(step * every)
    rate.throttled(600 * every, pause)
    assert rate.rate is None


@pytest.mark.parametrize(("crowd", "expected"), [(3, 3 * 0.97), (2, None)])
def test_few_accepted_teach_a_rate_where_others_were_behind_each(crowd, expected):
    rate = LearntRate()
    for step in range(5):
        rate.accepted(step * 0.01 - 100, crowded=True)
    rate.accepted(-99.0)
    for step in range(crowd):
        rate.accepted(step * 0.01, crowded=True)
    rate.throttled(0.5, 1.0)
    assert rate.rate == (expected and pytest.approx(expected))


def test_what_was_accepted_too_long_ago_is_no_measure_and_least_of_all_of_none_a_second():
    rate = LearntRate()
    for step in range(5):
        rate.accepted(step * 0.01, crowded=True)
    rate.throttled(1000.0, 1.0)
    assert rate.rate is None


def test_a_refusal_in_light_traffic_lowers_what_was_learnt_by_a_step_and_not_to_the_traffic():
    rate = learnt()
    first = rate.rate
    for at in (2.0, 4.0, 6.0):
        rate.accepted(at)
    rate.throttled(8.0, 1.0)
    assert rate.rate == pytest.approx(first * 0.95)


def test_a_server_that_refuses_all_however_few_is_taken_to_have_another_reason_than_the_rate():
    rate, now, seen = learnt(), 0.5, []
    for _ in range(4):
        now += 1.1
        rate.throttled(now, 1.0)
        seen.append(rate.rate and round(rate.rate, 1))
    assert seen == [33.9, 23.8, 16.6, None]


def test_a_server_that_refuses_now_and_then_at_any_rate_is_taken_to_have_another_reason():
    """What is accepted between says nothing: a lower rate was to be refused less, and was not."""
    rate, now, seen = learnt(), 0.5, []
    for _ in range(4):
        now = stream(rate, now + 1, 10)
        rate.throttled(now, 1.0)
        seen.append(rate.rate and round(rate.rate))
    assert seen == [46, 44, 41, None]


def test_refusals_on_the_way_up_are_the_rates_however_many_there_are():
    rate, now = learnt(), 0.5
    for _ in range(10):
        now = stream(rate, now + 1, 18)
        rate.throttled(now, 1.0)
    assert rate.rate


def test_answers_that_arrive_after_the_refusal_they_preceded_count_too():
    rate = learnt(accepted=30)
    for _ in range(20):
        rate.accepted(0.6, late=True)
    assert rate.rate == pytest.approx(50 * 0.97)


def test_answers_that_arrive_long_after_the_refusal_do_not():
    rate = learnt()
    first = rate.rate
    for _ in range(20):
        rate.accepted(5.0, late=True)
    assert rate.rate == first


def stream(rate, start, seconds, *, held_back=True):
    """Accept at the learnt rate for so long, and return the time."""
    now = start
    while now < start + seconds:
        rate.accepted(now, held_back=held_back)
        now += 1 / rate.rate
    return now


def test_the_rate_holds_and_then_doubles_well_within_half_a_minute_of_the_refusal():
    rate = learnt()
    first = rate.rate
    held_at = stream(rate, 1.5, 16)
    after_hold = rate.rate
    stream(rate, held_at, 25 - 1 - 16)
    assert (first, True) == (pytest.approx(after_hold, rel=0.001), rate.rate >= 2 * first)


def test_a_rate_that_is_not_used_is_not_raised():
    rate = learnt()
    first = rate.rate
    stream(rate, 1.5, 60, held_back=False)
    assert rate.rate == first


@pytest.mark.parametrize("every", [None, 0.5, 20.0], ids=["nothing at all", "used a little", "now and then"])
def test_the_plateau_passes_whether_or_not_the_rate_is_used(every):
    rate = learnt()
    first = rate.rate
    for step in range(0 if every is None else int(40 / every)):
        rate.accepted(1.5 + step * every)
    rate.pass_time(41.5)
    before = rate.rate
    stream(rate, 41.5, 7.1)
    assert (before, True) == (first, rate.rate >= 2 * first)


@pytest.mark.parametrize(("pause", "kept"), [(1.0, 64.0), (10.0, 400.0), (60.0, 2400.0), (3600.0, 2400.0)])
def test_what_keeps_nobody_waiting_for_four_plateaus_is_forgotten(pause, kept):
    rate = learnt(accepted=600, window=0.5, pause=pause)
    rate.pass_time(0.5 + pause + kept)
    before = rate.rate, rate.remembers
    rate.pass_time(0.5 + pause + kept + 1)
    assert (before, rate.rate, rate.remembers) == ((pytest.approx(600 / min(pause, 60) * 0.97), True), None, False)


def test_traffic_that_the_rate_never_holds_back_does_not_keep_it_from_being_forgotten():
    rate = learnt()
    for step in range(700):
        rate.accepted(1.5 + step * 0.1)
    assert (rate.rate, rate.remembers) == (None, False)


def test_a_rate_that_keeps_somebody_waiting_is_not_forgotten():
    rate = learnt()
    for step in range(600):
        rate.accepted(1.5 + step, held_back=step % 60 == 0)
    assert rate.remembers


def test_after_forgetting_the_next_refusal_is_a_first_one():
    rate = learnt()
    rate.pass_time(100.0)
    for step in range(200):
        rate.accepted(100 + step / 200)
    rate.throttled(101.0, 1.0)
    assert rate.rate == pytest.approx(200 * 0.97, rel=0.01)


def test_a_refusal_on_the_way_up_never_ends_below_the_plateau_that_went_well():
    rate = learnt()
    first = rate.rate
    now = stream(rate, 1.5, 18)
    rate.throttled(now, 1.0)
    assert first <= rate.rate < first * 1.1


def test_a_refusal_on_the_plateau_lowers_it_a_little():
    rate = learnt()
    first = rate.rate
    now = stream(rate, 1.5, 10)
    rate.throttled(now, 1.0)
    assert first * 0.9 < rate.rate < first


def test_a_refusal_right_after_the_pause_lowers_it_a_lot():
    rate = learnt()
    first = rate.rate
    rate.throttled(1.6, 1.0)
    assert rate.rate == pytest.approx(first * 0.7)


def test_a_second_refusal_before_the_servers_window_can_have_drained_lowers_nothing():
    rate = learnt(pause=0.3)
    first = rate.rate
    rate.throttled(0.9, 0.3)
    assert rate.rate == first


def test_a_longer_pause_makes_a_longer_plateau():
    rate = learnt(pause=10.0)
    first = rate.rate
    stream(rate, 10.5, 95)
    assert rate.rate == pytest.approx(first)


def breaker():
    return Breaker(3, base=0.5, cap=20.0)


def opened():
    tested = breaker()
    for _ in range(3):
        tested.failed(0.0, probe=False)
    return tested


def test_a_breaker_opens_after_so_many_failures_in_a_row():
    tested = breaker()
    seen = []
    for _ in range(3):
        tested.failed(0.0, probe=False)
        seen.append(tested.state)
    assert seen == [BreakerState.CLOSED, BreakerState.CLOSED, BreakerState.OPEN]


def test_an_answer_between_keeps_the_breaker_closed():
    tested = breaker()
    seen = set()
    for _ in range(10):
        tested.failed(0.0, probe=False)
        tested.failed(0.0, probe=False)
        seen.add(tested.state)
        tested.answered()
    assert seen == {BreakerState.CLOSED}


def test_a_closed_breaker_never_keeps_anyone_waiting_and_makes_no_probes():
    tested = breaker()
    assert (tested.ready_at, tested.begin()) == (-math.inf, False)


def test_probes_go_one_at_a_time():
    tested = opened()
    assert (tested.begin(), tested.state, tested.ready_at) == (True, BreakerState.HALF_OPEN, math.inf)


def test_the_wait_between_probes_doubles_up_to_its_cap():
    tested, now, waits = opened(), 0.0, []
    for _ in range(8):
        waits.append(tested.ready_at - now)
        now = tested.ready_at
        tested.begin()
        tested.failed(now, probe=True)
    assert waits == [0.5, 1, 2, 4, 8, 16, 20, 20]


def test_failures_of_others_do_not_move_the_next_probe():
    tested = opened()
    tested.failed(0.4, probe=False)
    waiting = tested.ready_at
    tested.begin()
    tested.failed(0.5, probe=False)
    assert (waiting, tested.state) == (0.5, BreakerState.HALF_OPEN)


def test_a_probe_that_showed_nothing_may_be_followed_by_another_at_once():
    tested = opened()
    tested.begin()
    tested.withdrawn()
    assert (tested.state, tested.ready_at) == (BreakerState.OPEN, 0.5)


def test_nothing_is_withdrawn_from_a_closed_breaker():
    tested = breaker()
    tested.withdrawn()
    assert tested.state is BreakerState.CLOSED


def test_after_an_answer_everything_starts_over():
    tested = opened()
    tested.begin()
    tested.failed(0.5, probe=True)
    tested.answered()
    for _ in range(3):
        tested.failed(10.0, probe=False)
    assert tested.ready_at == 10.5
