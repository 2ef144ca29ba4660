"""What each signal does, without a process: the order of stop, grace, break-off and leave."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from mobiz_async.cli.exits import Exit
from mobiz_async.cli.interruption import Interrupted, Interruption, interruptible, obeying_signals
from mobiz_async.journal import MemoryJournal, SQLiteJournal
from mobiz_async.models import Outcome
from mobiz_async.reports import AttemptEvent


def a_run() -> Any:
    run = SimpleNamespace(stats=SimpleNamespace(in_flight=2), stopped=asyncio.Event())
    run.stop = run.stopped.set
    return run


async def test_signals_are_given_back_at_the_end() -> None:
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in handled]
    with Interruption(1.0, print):
        assert signal.getsignal(signal.SIGTERM) is not before[1]

    assert [signal.getsignal(number) for number in handled] == before


async def test_a_second_signal_puts_the_terminal_in_order_and_leaves() -> None:
    run, done, said = a_run(), asyncio.Event(), []
    left: list[Any] = []

    def leave(code: int) -> None:
        left.append(code)
        done.set()

    with Interruption(60.0, said.append, leave) as interruption:
        interruption.guard(run)
        interruption.before_leaving = lambda: left.append("terminal")
        os.kill(os.getpid(), signal.SIGTERM)
        await run.stopped.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await done.wait()

    assert left == ["terminal", 143]
    assert [line.split(":")[0] for line in said] == ["stopping", "leaving at once"]


async def test_a_terminal_that_is_closed_is_never_the_second_signal() -> None:
    """The system says so, and then the shell once more."""
    run, left = a_run(), list[int]()
    with Interruption(60.0, lambda _: None, left.append) as interruption:
        interruption.guard(run)
        for number in (signal.SIGHUP, signal.SIGHUP):
            interruption._signalled(number)
        hung_up = interruption.exit, run.stopped.is_set(), [*left]
        interruption._signalled(signal.SIGTERM)

    assert (*hung_up, left) == (Exit.HUNG_UP, True, [], [129])


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
async def test_a_signal_that_whoever_started_it_has_ignored_stays_so(number: int) -> None:
    """SIGHUP by nohup, Ctrl-C by a shell for what it starts in the background."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Interruption(60.0, print) as interruption:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0)
            still = signal.getsignal(number)
    finally:
        signal.signal(number, before)

    assert (still, interruption.exit) == (signal.SIG_IGN, None)


async def test_a_signal_after_the_run_is_only_remembered() -> None:
    said: list[str] = []
    with Interruption(60.0, said.append) as interruption:
        interruption.over()
        interruption._signalled(signal.SIGINT)

    assert (interruption.exit, said, interruption.absorb()) == (Exit.INTERRUPTED, [], False)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_loop_is_closed_changes_nothing_of_what_was_told(monkeypatch, number: int) -> None:
    """A terminal that is closed sends two: the second may come when the run has ended at the first."""
    left: list[int] = []
    monkeypatch.setattr(Interruption.__init__, "__defaults__", (left.append,))
    before = [signal.getsignal(each) for each in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)]

    async def work(_: Interruption) -> int:
        loop = asyncio.get_running_loop()
        close = loop.close
        monkeypatch.setattr(loop, "close", lambda: (signal.raise_signal(number), close()))
        return 4

    code = obeying_signals(1.0, print, work)

    assert (code, left) == (4, [4])
    assert [signal.getsignal(each) for each in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)] == before


def test_when_the_work_is_over_it_waits_for_no_look_up_of_a_name() -> None:
    """None can be broken off. While it was waited for, nothing was told, and a second Ctrl-C told what was not so."""
    over = threading.Event()
    found: list[bool] = []

    async def work(_: Interruption) -> int:
        asyncio.get_running_loop().run_in_executor(None, lambda: found.append(over.wait(timeout=5.0)))
        return 7

    code = obeying_signals(1.0, print, work)
    ended_before = list(found)
    over.set()

    assert (code, ended_before) == (7, [])


def an_attempt(outcome: Outcome) -> AttemptEvent:
    return AttemptEvent("CreateDataList", outcome, "no_answer", None, 0, 0.0, 1)


@pytest.mark.parametrize(
    ("outcomes", "made", "words"),
    [
        ([], None, "interrupted before anything was sent"),
        ([Outcome.NOT_SENT], None, "interrupted before anything was sent"),
        ([Outcome.UNKNOWN], None, "interrupted; list X may have been created"),
        ([Outcome.ACCEPTED], "list 7 was created", "interrupted before anything was sent; list 7 was created"),
    ],
)
async def test_work_that_a_signal_ends_says_what_its_requests_prove(
    outcomes: list[Outcome], made: str | None, words: str
) -> None:
    async def work(interruption: Interruption) -> int:
        interruption.doubt, interruption.made = "list X may have been created", made
        for outcome in outcomes:
            interruption.hear(an_attempt(outcome))
        os.kill(os.getpid(), signal.SIGTERM)
        return await asyncio.Event().wait()

    with pytest.raises(Interrupted) as ended:
        await interruptible(1.0, print, work)

    assert (ended.value.exit, str(ended.value)) == (Exit.TERMINATED, words)


async def test_a_cancellation_that_is_not_ours_goes_on() -> None:
    async def work(_: Interruption) -> int:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await interruptible(1.0, print, work)


def test_where_signals_cannot_be_handled_they_do_what_they_always_do(monkeypatch) -> None:
    """Windows' event loops have no add_signal_handler."""

    def unsupported(*_: object) -> None:
        raise NotImplementedError

    async def main() -> tuple[Any, Any]:
        monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", unsupported)
        before = signal.getsignal(signal.SIGTERM)
        with Interruption(1.0, print):
            return before, signal.getsignal(signal.SIGTERM)

    before, within = asyncio.run(main())

    assert within == before


@pytest.mark.parametrize("journal", [[], ["--journal", "run.journal"]], ids=["in memory", "in a file"])
def test_a_signal_while_the_journal_is_opened_ends_it_before_anything_is_sent(
    cli, served, file, tmp_path, monkeypatch, journal
) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in (MemoryJournal, SQLiteJournal):

        async def open_slowly(self: Any, identity: Any, opened: Any = kind.open) -> bool:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0)
            return await opened(self, identity)

        monkeypatch.setattr(kind, "open", open_slowly)
    ended = cli("send", file(count=2), "--list", 1, *journal)

    assert (ended.code, served.sandbox.applied_total) == (130, 0)
    assert ended.err.splitlines()[-1] == "interrupted before anything was sent"
