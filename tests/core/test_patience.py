"""Silence is counted while this process runs: what came while it stood still is read before an attempt is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from mobiz_async.models import Timeouts
from mobiz_async.patience import Patience


class StoppedLoop:
    """A loop whose time passes as a test has it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.alarms: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, ring: Callable[[], None]) -> Any:
        alarm = (when, ring)
        self.alarms.append(alarm)
        return SimpleNamespace(cancel=lambda: self.alarms.remove(alarm) if alarm in self.alarms else None)

    def ring(self, *, late: float = 0.0) -> float:
        """Let the next alarm ring; return when it was to."""
        when, ring = self.alarms.pop(0)
        self.now = when + late
        ring()
        return when


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> StoppedLoop:
    stopped = StoppedLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: stopped)
    monkeypatch.setattr(asyncio, "timeout", lambda _: None)
    return stopped


def begun(loop: StoppedLoop, ended: list[float]) -> Patience:
    """Within its block, and the body is out."""
    patience = Patience(Timeouts(read=60.0, total=300.0))
    patience._limit = SimpleNamespace(reschedule=ended.append)
    patience._due = patience._end = 300.0
    patience._look_at(300.0)
    patience.heard()
    return patience


def test_silence_ends_it_in_time(loop: StoppedLoop) -> None:
    ended: list[float] = []
    begun(loop, ended)

    assert (loop.ring(), ended, loop.alarms) == (60.0, [60.0], [])


def test_where_the_alarm_is_late_it_is_looked_once_more(loop: StoppedLoop) -> None:
    ended: list[float] = []
    begun(loop, ended)
    loop.ring(late=3600.0)
    first = [*ended]

    assert (first, loop.ring(), ended) == ([], 3675.0, [3675.0])


def test_what_is_heard_puts_the_end_off_and_no_further_than_the_whole_time(loop: StoppedLoop) -> None:
    ended: list[float] = []
    patience = begun(loop, ended)
    for moment in range(50, 300, 50):
        while loop.alarms[0][0] < moment:
            loop.ring()
        loop.now = moment
        patience.heard()
    while not ended:
        loop.ring()

    assert ended == [300.0]


@pytest.mark.parametrize(
    ("total", "also_cancelled", "of_the_time"),
    [
        pytest.param(0.000_001, False, True, id="the time is over"),
        pytest.param(300.0, True, False, id="somebody cancels"),
        pytest.param(0.000_001, True, False, id="both, and then it is a cancellation"),
    ],
)
async def test_whose_a_cancellation_is_can_be_told(total: float, also_cancelled: bool, of_the_time: bool) -> None:
    said: list[bool] = []

    async def attempt() -> None:
        me = asyncio.current_task()
        assert me is not None
        async with Patience(Timeouts(read=60.0, total=total)) as patience:
            if total > 1:
                me.cancel()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if also_cancelled and total < 1:
                    me.cancel()
                said.append(patience.ran_out())
                raise

    with pytest.raises(TimeoutError if of_the_time else asyncio.CancelledError):
        await asyncio.wait_for(asyncio.create_task(attempt()), 10)

    assert said == [of_the_time]


async def test_what_was_in_time_leaves_no_alarm_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    alarms: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    call_at = loop.call_at

    def noted(when: float, ring: Callable[[], None]) -> asyncio.TimerHandle:
        alarms.append(call_at(when, ring))
        return alarms[-1]

    monkeypatch.setattr(loop, "call_at", noted)

    async with Patience(Timeouts()) as patience:
        patience.heard()

    assert [alarm.cancelled() for alarm in alarms] == [True, True]


def test_an_alarm_that_is_a_little_late_is_in_time(loop: StoppedLoop) -> None:
    ended: list[float] = []
    begun(loop, ended)
    loop.ring(late=15.0)

    assert ended == [75.0]
