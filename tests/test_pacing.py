"""The pacer: who goes when. On a clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import math

import pytest
from pacing_stand import stands

from mobiz_async.errors import ConfigurationError
from mobiz_async.models import Pace
from mobiz_async.pacing import Lane, Pacer
from mobiz_async.testing import FakeClock
from mobiz_async.verdicts import Verdict


@pytest.fixture
async def stand():
    async with stands() as make:
        yield make


async def test_no_more_are_in_flight_than_the_concurrency_allows(stand):
    one = stand(concurrency=3)
    await one.ask(5)
    assert (one.numbers, one.pacer.in_flight, one.pacer.waiting) == ([0, 1, 2], 3, 2)


async def test_a_settled_permit_lets_the_next_one_in_first_come_first_served(stand):
    one = stand(concurrency=1)
    await one.ask(4)
    for position in range(3):
        one.permit(position).settle(Verdict.ACCEPTED)
        await one.clock.settle()
    assert one.numbers == [0, 1, 2, 3]


async def test_a_newcomer_does_not_overtake_those_who_wait(stand):
    one = stand(concurrency=1)
    await one.ask(2)
    one.permit().settle(Verdict.ACCEPTED)
    await one.ask(1)
    assert one.numbers == [0, 1]


async def test_an_unhindered_admit_does_not_switch_tasks():
    pacer = Pacer(Pace(), FakeClock())
    admitting = pacer.admit(Lane.BULK, 1)
    with pytest.raises(StopIteration) as returned:
        admitting.send(None)
    assert returned.value.value.probe is False


async def test_a_permit_is_settled_once(stand):
    one = stand()
    await one.ask()
    one.permit().settle(None)
    with pytest.raises(RuntimeError, match="settled already"):
        one.permit().settle(None)
    assert one.pacer.in_flight == 0


async def test_single_triggers_do_not_queue_behind_a_bulk_run(stand):
    one = stand(concurrency=1)
    await one.ask(10)
    await one.ask(1, Lane.SINGLE)
    assert (one.numbers, one.pacer.waiting) == ([0, 10], 9)


async def test_a_run_that_asks_for_more_at_once_gets_it_while_it_lasts(stand):
    one = stand(concurrency=2)
    with one.pacer.allowing(16):
        await one.ask(20)
        during = one.pacer.in_flight, one.pacer.limit
    assert (during, one.pacer.limit) == ((16, 16), 2)


async def test_those_who_wait_for_a_slot_go_as_soon_as_there_are_more(stand):
    one = stand(concurrency=2)
    await one.ask(5)
    before = one.numbers[:]
    with one.pacer.allowing(4):
        await one.clock.settle()
    assert (before, one.numbers) == ([0, 1], [0, 1, 2, 3])


async def test_what_is_in_flight_when_a_run_ends_is_left_alone_and_nobody_goes_before_it_is_few_enough(stand):
    one = stand(concurrency=2)
    with one.pacer.allowing(4):
        await one.ask(5)
    in_flight = []
    for position in range(4):
        in_flight.append((one.pacer.in_flight, len(one.got)))
        one.permit(position).settle(Verdict.ACCEPTED)
        await one.clock.settle()
    assert in_flight == [(4, 4), (3, 4), (2, 4), (2, 5)]


async def test_a_cancelled_waiter_leaves_nothing_behind(stand):
    one = stand()
    one.pacer.pause(60)
    before = asyncio.all_tasks()
    waiting = await one.ask(5)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await one.clock.settle()
    left = asyncio.all_tasks() - before
    assert (one.pacer.waiting, one.pacer.in_flight, one.clock.sleepers, left) == (0, 0, 0, set())


async def test_a_waiter_cancelled_as_its_turn_comes_passes_the_turn_on(stand):
    one = stand(concurrency=1)
    await one.ask(3)
    one.permit().settle(Verdict.ACCEPTED)
    one.tasks[1].cancel()
    await one.clock.settle()
    assert (one.numbers, one.pacer.in_flight) == ([0, 2], 1)


async def test_a_slot_that_is_freed_as_the_next_waiter_is_cancelled_goes_to_the_one_after(stand):
    one = stand(concurrency=1)
    await one.ask(3)
    one.tasks[1].cancel()
    one.permit().settle(Verdict.ACCEPTED)
    await one.clock.settle()
    assert (one.numbers, one.pacer.in_flight) == ([0, 2], 1)


async def test_ten_thousand_waiters_are_served_in_order(stand):
    one = stand(concurrency=8)
    served = []

    async def work(number):
        permit = await one.pacer.admit(Lane.BULK, 1)
        await asyncio.sleep(0)
        served.append(number)
        permit.settle(Verdict.ACCEPTED)

    await asyncio.gather(*(work(number) for number in range(10_000)))
    assert (served, one.pacer.in_flight) == (list(range(10_000)), 0)


async def test_a_refusal_silences_both_lanes_for_as_long_as_the_server_says(stand):
    one = stand()
    await one.ask()
    one.permit().settle(Verdict.THROTTLED, 7.0)
    await one.ask(1, Lane.SINGLE)
    await one.ask(1, Lane.BULK)
    await one.clock.advance(6.999)
    early = one.times[1:]
    await one.clock.advance(0.001)
    assert (early, one.times[1:], one.pacer.paused_until) == ([], [7.0, 7.0], 7.0)


@pytest.mark.parametrize(
    ("retry_after", "delay", "expected"),
    [(3.0, 9.0, 3.0), (None, 9.0, 9.0), (None, 0.2, 1.0), (None, None, 1.0), (0.0, 9.0, 1.0)],
    ids=["named", "backoff", "at least a second", "nothing named", "named as zero"],
)
async def test_the_reply_decides_the_pause_and_else_the_backoff_does(stand, retry_after, delay, expected):
    one = stand()
    await one.ask()
    one.permit().settle(Verdict.THROTTLED, retry_after, delay)
    assert one.pacer.paused_until == expected


async def test_too_long_a_pause_is_waited_for_by_nobody_and_ends_at_the_longest(stand):
    one = stand(longest_pause=100.0)
    await one.ask(2)
    one.pacer.pause(1)
    await one.ask(2, Lane.SINGLE)
    one.permit(0).settle(Verdict.THROTTLED, 1_795_000_000.0)
    await one.ask(2)
    during = (one.permit(2), one.permit(3), one.permit(4), one.permit(5), one.pacer.waiting, one.pacer.refused_for)
    await one.clock.advance(100)
    await one.ask()
    assert during == (None, None, None, None, 0, 100.0)
    assert (one.pacer.refused_for, one.permit().records, one.times[-1]) == (0.0, 1, 100.0)


async def test_as_long_a_pause_as_is_waited_for_is_waited_for(stand):
    one = stand(longest_pause=100.0)
    await one.ask(2)
    one.permit(0).settle(Verdict.THROTTLED, 100.0)
    await one.ask()
    during = (one.pacer.waiting, one.pacer.refused_for)
    await one.clock.advance(100)
    assert (during, one.times[-1], one.permit().records) == ((1, 0.0), 100.0, 1)


async def test_a_pacer_that_is_closed_turns_away_whoever_waits_or_would_have_to(stand):
    one = stand(concurrency=1, single_concurrency=1)
    await one.ask(3)
    await one.ask(2, Lane.SINGLE)
    one.pacer.close()
    await one.ask()
    assert [permit is None for _, _, permit in sorted(one.got, key=lambda got: got[0])] == [
        False,
        True,
        True,
        False,
        True,
        True,
    ]
    assert (one.pacer.waiting, one.pacer.in_flight) == (0, 2)


async def test_a_cancelled_caller_that_was_turned_away_leaves_nothing_behind(stand):
    one = stand(concurrency=1)
    await one.ask()
    (waiting,) = await one.ask()
    one.pacer.close()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (waiting.cancelled(), one.pacer.waiting, one.pacer.in_flight) == (True, 0, 1)


async def test_a_shorter_pause_does_not_end_a_longer_one(stand):
    one = stand()
    one.pacer.pause(10)
    one.pacer.pause(1)
    await one.ask()
    await one.clock.advance(20)
    assert one.times == [10.0]


async def test_a_pause_that_grows_while_somebody_waits_is_waited_out(stand):
    one = stand()
    one.pacer.pause(5)
    await one.ask()
    await one.clock.advance(4)
    one.pacer.pause(5)
    await one.clock.advance(20)
    assert one.times == [9.0]


async def test_a_permit_given_just_before_a_refusal_is_taken_back_and_keeps_its_place(stand):
    """Three waiters get their turn in the same breath as a refusal arrives; none of them may POST before its end."""
    one = stand(concurrency=4)
    await one.ask(8)
    for position in range(3):
        one.permit(position).settle(Verdict.ACCEPTED)
    one.permit(3).settle(Verdict.THROTTLED, 5.0)
    await one.clock.settle()
    during = one.times[4:]
    await one.clock.advance(60)
    assert (during, one.numbers[4:6], min(one.times[4:])) == ([], [4, 5], 5.0)


async def test_a_burst_of_refusals_shrinks_the_concurrency_once(stand):
    one = stand(concurrency=10)
    await one.ask(10)
    for position in range(10):
        one.permit(position).settle(Verdict.THROTTLED, 1.0)
    assert one.pacer.limit == 7


async def test_a_refusal_after_the_pause_shrinks_it_again_and_acceptance_brings_it_back(stand):
    one = stand(concurrency=10)
    seen = []
    for _ in range(2):
        await one.ask()
        await one.clock.advance(1)
        one.permit().settle(Verdict.THROTTLED, 1.0)
        seen.append(one.pacer.limit)
    await one.clock.advance(1)
    for _ in range(6):
        start = len(one.got)
        await one.ask(one.pacer.limit)
        for _, _, permit in one.got[start:]:
            permit.settle(Verdict.ACCEPTED)
    seen.append(one.pacer.limit)
    assert seen[:2] == [7, 4]
    assert seen[2] > 4


async def test_a_refusal_in_one_lane_leaves_the_concurrency_of_the_other(stand):
    one = stand(concurrency=10, single_concurrency=50)
    await one.ask()
    one.permit().settle(Verdict.THROTTLED, 1.0)
    assert (one.pacer.limit, one.pacer.single_limit) == (7, 50)


@pytest.mark.parametrize(("behind", "learnt"), [(5, 3 * 0.97), (1, None)])
async def test_what_is_accepted_while_others_wait_measures_the_rate_of_a_server(stand, behind, learnt):
    one = stand(concurrency=1)
    for position in range(3):
        await one.ask(behind if position == 0 else 1)
        one.permit(position).settle(Verdict.ACCEPTED)
        await one.clock.settle()
    await one.ask(1)
    one.permit(3).settle(Verdict.THROTTLED, 1.0)
    assert one.pacer.learnt_rate == (learnt and pytest.approx(learnt))


async def test_requests_per_second_spaces_the_requests(stand):
    one = stand(requests_per_second=4, concurrency=100)
    await one.ask(5)
    await one.clock.advance(10)
    assert one.times == pytest.approx([0, 0.23, 0.48, 0.73, 0.98])


async def test_records_per_second_waits_after_a_chunk_and_never_refuses_one(stand):
    one = stand(records_per_second=500)
    await one.ask(3, records=10_000)
    await one.clock.advance(60)
    assert one.times == pytest.approx([0, 20, 40], abs=0.05)


async def test_records_that_were_not_sent_do_not_count(stand):
    one = stand(records_per_second=500)
    await one.ask(1, records=10_000)
    one.permit().settle(Verdict.CONNECT_FAILED)
    await one.ask(1, records=10_000)
    assert one.times == [0.0, 0.0]


async def test_what_a_trigger_that_was_not_sent_had_taken_is_given_back_to_the_bulk_lane(stand):
    one = stand(records_per_second=500)
    await one.ask(1, Lane.SINGLE, records=10_000)
    one.permit().settle(Verdict.CONNECT_FAILED)
    await one.ask(1, records=10_000)
    assert one.times == [0.0, 0.0]


async def test_a_single_trigger_does_not_wait_for_what_a_chunk_owes(stand):
    one = stand(records_per_second=500)
    await one.ask(1, records=10_000)
    await one.ask(1, Lane.SINGLE)
    assert one.times == [0.0, 0.0]


async def test_what_single_triggers_take_is_missing_to_the_bulk_lane(stand):
    one = stand(requests_per_second=10, concurrency=100)
    await one.ask(10, Lane.SINGLE)
    await one.ask(1, Lane.BULK)
    await one.clock.advance(5)
    assert one.numbers[-1] == 10
    assert one.times[-1] == pytest.approx(1.0, abs=0.05)


async def test_after_a_pause_with_nothing_learnt_the_pacer_is_unhindered_again(stand):
    one = stand()
    one.pacer.pause(1)
    await one.clock.advance(1)
    await one.ask(2)
    assert (one.times, one.pacer.learnt_rate, one.pacer._calm) == ([1.0, 1.0], None, True)


async def throttled_by_a_crowd(one):
    """Have five of seven requests accepted, and the others refused."""
    await one.ask(7, Lane.SINGLE)
    for position in range(5):
        one.permit(position).settle(Verdict.ACCEPTED)
    for position in (5, 6):
        one.permit(position).settle(Verdict.THROTTLED, 1.0)


async def test_what_was_learnt_is_forgotten_after_a_quiet_time_and_the_pacer_unhindered_again(stand):
    one = stand()
    await throttled_by_a_crowd(one)
    before = one.pacer.learnt_rate, one.pacer.single_limit
    await one.clock.advance(1 + 64 + 1)
    await one.ask(1, Lane.SINGLE)
    assert before == (pytest.approx(5 * 0.97), 70)
    assert (one.pacer.learnt_rate, one.pacer.single_limit, one.pacer._calm) == (None, 100, True)
    await one.ask(99, Lane.SINGLE)
    assert one.times[-99:] == [one.clock.monotonic()] * 99


async def test_a_limit_that_was_cut_without_a_rate_recovers_with_quiet_time_too(stand):
    one = stand()
    await one.ask(1, Lane.SINGLE)
    one.permit().settle(Verdict.THROTTLED, 1.0)
    before = one.pacer.learnt_rate, one.pacer.single_limit
    await one.clock.advance(1 + 64 + 1)
    await one.ask(1, Lane.SINGLE)
    assert (before, one.pacer.single_limit) == ((None, 70), 100)


async def test_traffic_below_the_rate_has_it_forgotten_although_something_is_always_under_way(stand):
    one = stand()
    await throttled_by_a_crowd(one)
    await one.clock.advance(1)
    await one.ask(1, Lane.SINGLE)
    for _ in range(70):
        await one.clock.advance(1)
        await one.ask(1, Lane.SINGLE)
        one.permit(-2).settle(Verdict.ACCEPTED)
    assert (one.pacer.learnt_rate, one.pacer._calm) == (None, True)


async def test_a_cap_of_the_callers_outlasts_what_was_learnt(stand):
    one = stand(requests_per_second=1000)
    await throttled_by_a_crowd(one)
    await one.clock.advance(100)
    await one.ask(60, Lane.SINGLE)
    assert (one.pacer.learnt_rate, 20 <= one.pacer.in_flight <= 22) == (None, True)


async def test_a_pacer_that_is_closed_leaves_no_timer_behind(stand):
    one = stand()
    before = asyncio.all_tasks()
    one.pacer.pause(3600)
    waiting = await one.ask()
    during = one.clock.sleepers
    one.pacer.close()
    await asyncio.gather(*waiting)
    assert (during, one.clock.sleepers, asyncio.all_tasks() - before) == (1, 0, set())


async def test_a_pacer_that_was_never_paused_says_so():
    assert Pacer(Pace(), FakeClock()).paused_until == -math.inf


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"single_concurrency": 0},
        {"requests_per_second": 0},
        {"records_per_second": -1},
        {"decrease": 1.0},
        {"increase": 0},
        {"breaker_threshold": 0},
        {"probe_base": 0},
        {"throttle_pause": -1},
    ],
    ids=str,
)
def test_a_pace_that_makes_no_sense_is_refused(options):
    (setting,) = options
    with pytest.raises(ConfigurationError, match=f"^{setting} must be "):
        Pace(**options)
