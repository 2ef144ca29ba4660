"""The clock for tests: it stands still until told, or leaps when everybody waits."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mobiz_async.testing import FakeClock


async def nap(clock, log, name, seconds, times=1):
    for _ in range(times):
        await clock.sleep(seconds)
        log.append((name, clock.monotonic()))


async def test_it_stands_still_by_itself():
    clock, log = FakeClock(), []
    task = asyncio.create_task(nap(clock, log, "a", 1))
    await clock.settle()
    state = (log, clock.monotonic(), clock.sleepers, clock.next_due)
    task.cancel()
    assert state == ([], 0.0, 1, 1.0)


async def test_advance_wakes_sleepers_in_the_order_of_their_time():
    clock, log = FakeClock(), []
    tasks = [asyncio.create_task(nap(clock, log, name, seconds, 2)) for name, seconds in (("a", 2), ("b", 1.5))]
    await clock.advance(10)
    await asyncio.gather(*tasks)
    assert log == [("b", 1.5), ("a", 2.0), ("b", 3.0), ("a", 4.0)]


async def test_advance_stops_where_it_was_told():
    clock, log = FakeClock(start=100.0), []
    task = asyncio.create_task(nap(clock, log, "a", 1, 5))
    await clock.advance(2.5)
    task.cancel()
    assert (log, clock.monotonic()) == ([("a", 101.0), ("a", 102.0)], 102.5)


@pytest.mark.parametrize("seconds", [0, -1])
async def test_a_sleep_of_nothing_gives_others_a_turn(seconds):
    clock, log = FakeClock(), []
    other = asyncio.create_task(nap(clock, log, "other", 0))
    await clock.sleep(seconds)
    await other
    assert (log, clock.monotonic()) == ([("other", 0.0)], 0.0)


async def test_time_does_not_go_back():
    with pytest.raises(ValueError, match="go back"):
        await FakeClock().advance(-1)


async def test_a_cancelled_sleeper_is_forgotten():
    clock = FakeClock()
    tasks = [asyncio.create_task(clock.sleep(seconds)) for seconds in (1, 2)]
    await clock.settle()
    tasks[0].cancel()
    await clock.settle()
    state = (clock.sleepers, clock.next_due)
    await clock.advance(2)
    await tasks[1]
    assert (state, clock.sleepers, clock.next_due) == ((1, 2.0), 0, None)


async def test_a_cancelled_sleeper_due_at_the_same_time_as_another_is_passed_over():
    clock = FakeClock()
    tasks = [asyncio.create_task(clock.sleep(1)) for _ in range(3)]
    await clock.settle()
    tasks[1].cancel()
    await clock.advance(1)
    assert [task.cancelled() for task in tasks] == [False, True, False]


async def test_with_auto_it_leaps_whenever_everybody_waits():
    clock, log = FakeClock(auto=True), []
    await asyncio.gather(nap(clock, log, "a", 600, 2), nap(clock, log, "b", 900))
    assert log == [("a", 600.0), ("b", 900.0), ("a", 1200.0)]


async def test_with_auto_it_does_not_leap_while_somebody_is_at_work():
    clock, seen = FakeClock(auto=True), []

    async def work():
        for _ in range(200):
            await asyncio.sleep(0)
        seen.append(clock.monotonic())

    await asyncio.gather(clock.sleep(5), work())
    assert (seen, clock.monotonic()) == ([0.0], 5.0)


async def test_with_auto_settling_and_sleeping_do_not_wait_for_each_other():
    clock = FakeClock(auto=True)
    await asyncio.gather(clock.sleep(3), clock.settle(), clock.settle())
    assert clock.monotonic() == 3.0


async def test_a_clock_that_goes_by_itself_is_not_advanced():
    with pytest.raises(RuntimeError, match="goes on by itself"):
        await FakeClock(auto=True).advance(1)


async def test_with_grace_it_waits_for_a_thread_before_it_leaps():
    clock, release = FakeClock(auto=True, grace=0.05), threading.Event()
    sleeping = asyncio.create_task(clock.sleep(60))
    in_thread = asyncio.get_running_loop().run_in_executor(None, release.wait)
    release.set()
    await in_thread
    before = clock.monotonic()
    await sleeping
    assert (before, clock.monotonic()) == (0.0, 60.0)


async def test_with_grace_a_loop_that_became_busy_is_waited_for_again():
    clock, loop = FakeClock(auto=True, grace=0.001), asyncio.get_running_loop()
    if not hasattr(loop, "_ready"):
        pytest.skip("this loop does not show its callbacks")
    turns = []

    def spin(left):
        turns.append(clock.monotonic())
        if left:
            loop.call_soon(spin, left - 1)

    loop.call_later(0.0005, spin, 3000)
    await clock.sleep(60)
    assert set(turns) <= {0.0}


async def test_several_clocks_with_grace_in_one_loop_do_not_wait_for_each_other():
    """As a test has that runs something, and runs it again after a crash, each time with a clock of its own."""
    clocks = [FakeClock(auto=True, grace=0.001) for _ in range(3)]
    async with asyncio.timeout(5):
        await asyncio.gather(*(clock.sleep(60) for clock in clocks))
    assert [clock.monotonic() for clock in clocks] == [60.0] * 3


async def test_a_loop_that_does_not_show_its_queue_is_given_turns(monkeypatch):
    clock, log = FakeClock(auto=True), []
    monkeypatch.setattr("mobiz_async.testing.clock._ready", lambda loop: None)
    await nap(clock, log, "a", 1, 2)
    assert log == [("a", 1.0), ("a", 2.0)]


async def test_in_a_loop_that_does_not_show_its_queue_it_does_not_leap_while_a_task_is_at_work(monkeypatch):
    clock, seen = FakeClock(auto=True), []
    monkeypatch.setattr("mobiz_async.testing.clock._ready", lambda loop: None)

    async def work():
        for _ in range(500):
            await asyncio.sleep(0)
        seen.append(clock.monotonic())

    await asyncio.gather(clock.sleep(5), work(), clock.settle())
    assert (seen, clock.monotonic()) == ([0.0], 5.0)


async def test_a_task_that_never_waits_is_an_error_and_not_a_hang(monkeypatch):
    monkeypatch.setattr("mobiz_async.testing.clock._MOST_TURNS", 100)
    loop = asyncio.get_running_loop()
    spinning = [loop.call_soon(lambda: None)]

    def spin():
        spinning[0] = loop.call_soon(spin)

    spin()
    with pytest.raises(RuntimeError, match="without waiting"):
        await FakeClock().settle()
    spinning[0].cancel()


async def test_the_wall_clock_goes_along_and_can_be_set():
    clock = FakeClock(wall=1_000.0)
    await clock.advance(5)
    clock.shift_wall(-3600)
    assert (clock.monotonic(), clock.wall()) == (5.0, -2595.0)


async def test_it_remembers_every_sleep_and_shows_its_state():
    clock = FakeClock(auto=True)
    for seconds in (0.1, 0, 2.5):
        await clock.sleep(seconds)
    assert (clock.sleeps, repr(clock)) == ([0.1, 0, 2.5], "<FakeClock at 2.6 s, 0 asleep>")


async def test_ten_thousand_sleepers_are_woken_in_order():
    clock, log = FakeClock(auto=True), []
    await asyncio.gather(*(nap(clock, log, number, 1 + number % 7) for number in range(10_000)))
    assert log == sorted(log, key=lambda entry: (entry[1], entry[0]))


def test_it_goes_on_in_another_event_loop_and_forgets_who_slept_in_the_first():
    clock = FakeClock()
    seen = []

    async def pass_two_seconds():
        asleep = asyncio.create_task(clock.sleep(1000))
        await clock.advance(2)
        seen.append((clock.monotonic(), len(clock._sleepers)))
        return asleep

    for _ in range(2):
        asyncio.run(pass_two_seconds())
    assert seen == [(2.0, 1), (4.0, 1)]


async def test_clocks_of_one_loop_leap_side_by_side_and_one_after_the_other():
    """Each looks whether anything but looking is ready; that another looks is no reason to wait."""
    log = []
    one, other, third = (FakeClock(auto=True) for _ in range(3))
    async with asyncio.timeout(5):
        await asyncio.gather(nap(one, log, "one", 1, 3), nap(other, log, "other", 10, 2))
        await nap(third, log, "third", 100)
    assert sorted(log) == [
        ("one", 1.0),
        ("one", 2.0),
        ("one", 3.0),
        ("other", 10.0),
        ("other", 20.0),
        ("third", 100.0),
    ]


async def test_a_clock_is_told_to_go_on_beside_one_that_leaps():
    log, leaping, standing = [], FakeClock(auto=True), FakeClock()
    task = asyncio.create_task(nap(leaping, log, "leaping", 1, 3))
    napping = asyncio.create_task(nap(standing, log, "standing", 5))
    async with asyncio.timeout(5):
        await standing.advance(5)
        await asyncio.gather(task, napping)
    assert (standing.monotonic(), leaping.monotonic()) == (5.0, 3.0)
