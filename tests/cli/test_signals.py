"""Signals to the real command, in a process of its own: finish, break off, or leave at once; never twice or lost."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commanded import TIMEOUT, Threaded, running, start

from mobiz_async.sandbox import Fault, Faults, Sandbox
from mobiz_async.sandbox.timing import SystemTime

PIPED = "Number\n" + "".join(f"2782{index:07}\n" for index in range(600))


class HeldTime(SystemTime):
    """The time of a sandbox whose slow answers wait until a test lets them go."""

    def __init__(self) -> None:
        self.waiting = 0
        self.gates: list[Any] = []

    async def sleep(self, seconds: float) -> None:
        del seconds
        gate = asyncio.Event()
        self.gates.append(gate)
        self.waiting += 1
        await gate.wait()
        self.waiting -= 1

    def open(self) -> None:
        for gate in self.gates:
            gate.set()


def line_with(process: subprocess.Popen[str], text: str) -> str:
    """Read standard error up to the line that holds ``text``."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return line
    raise AssertionError(f"the command ended without a line with {text!r}")


@pytest.fixture
def held(account: Callable[[Sandbox], None]) -> Iterator[tuple[Threaded, HeldTime]]:
    """A sandbox that answers the first request at once and holds the answers to all others back."""
    clock = HeldTime()
    faults = Faults(lambda count: None if count == 1 else Fault.SLOW_ANSWER)
    with running(Sandbox(clock=clock, faults=faults)) as threaded:
        account(threaded.sandbox)
        yield threaded, clock
        threaded.call(clock.open)


@pytest.fixture
def hanging(account: Callable[[Sandbox], None]) -> Iterator[Threaded]:
    """A sandbox that answers the first request, and then applies what it gets and says nothing."""
    faults = Faults(lambda count: None if count == 1 else Fault.HANG_AFTER_APPLY)
    with running(Sandbox(faults=faults)) as threaded:
        account(threaded.sandbox)
        yield threaded


def words(path: Path, journal: Path) -> list[object]:
    return ["send", path, "--list", 1, "--chunk-size", 10, "--concurrency", 2, "--journal", journal]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_first_signal_finishes_what_is_in_flight_and_tells_how_to_go_on(
    cli, held, file, tmp_path, number: int, code: int
) -> None:
    threaded, clock = held
    command = words(file(count=100), tmp_path / "journal")
    with start(*command) as process:
        threaded.until(lambda: len(threaded.sandbox.requests) == 3)
        process.send_signal(number)
        stopping = line_with(process, "stopping")
        threaded.call(clock.open)
        out, err = process.communicate(timeout=TIMEOUT)

    assert (process.returncode, threaded.sandbox.applied_total) == (code, 30)
    assert stopping.startswith("stopping: nothing new is started, 2 in flight may finish within 30 s")
    assert re.search(r"  accepted   30\n(.|\n)*  unknown     0\n(.|\n)*Stopped early: interrupted\.\n", out)
    assert f"  python -m mobiz_async.cli {' '.join(map(str, command))}\n" in err

    threaded.sandbox.faults = None
    ended = cli(*command, "--json")

    assert (ended.code, ended.json["accepted"], ended.json["resumed"]) == (0, 100, 30)
    assert set(threaded.sandbox.applied("1").values()) == {1}


def test_when_the_grace_is_over_what_is_in_flight_is_unknown(cli, hanging, file, tmp_path) -> None:
    command = words(file(count=100), tmp_path / "journal")
    with start(*command, "--grace", "50ms", "--json") as process:
        hanging.until(lambda: hanging.sandbox.held == 2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
    status = cli("journal", "status", tmp_path / "journal", "--json").json

    assert process.returncode == 130
    assert '"unknown": 20,' in out
    assert "20 records may or may not have been sent" in err
    assert status["records"] == {"pending": 0, "accepted": 10, "rejected": 0, "unknown": 20}


def test_a_second_signal_leaves_at_once_and_the_journal_is_right(cli, hanging, file, tmp_path) -> None:
    command = words(file(count=100), tmp_path / "journal")
    with start(*command) as process:
        hanging.until(lambda: hanging.sandbox.held == 2)
        process.send_signal(signal.SIGTERM)
        line_with(process, "stopping")
        process.send_signal(signal.SIGINT)
        line_with(process, "leaving at once")
        process.communicate(timeout=TIMEOUT)
    status = cli("journal", "status", tmp_path / "journal", "--json").json

    assert process.returncode == 143
    assert status["records"] == {"pending": 0, "accepted": 10, "rejected": 0, "unknown": 20}
    assert [chunk["chunk"] for chunk in status["unknown_chunks"]] == [1, 2]


def test_a_journal_in_use_is_refused_at_once(cli, hanging, file, tmp_path) -> None:
    command = words(file(count=100), tmp_path / "journal")
    with start(*command) as process:
        hanging.until(lambda: hanging.sandbox.held == 2)
        ended = [
            cli(*command),
            cli("journal", "status", tmp_path / "journal"),
            cli("journal", "resolve", tmp_path / "journal", "--all-unknown", "--accepted", "--yes"),
        ]
        process.kill()

    assert [each.code for each in ended] == [2, 2, 2]
    assert {each.err.splitlines()[-1] for each in ended} == {
        f"error: the journal {tmp_path / 'journal'} is in use by another process"
    }


def test_a_signal_before_the_run_ends_it_with_nothing_sent(served, tmp_path) -> None:
    """Standard input has not said anything yet: not even the header of the file is known."""
    with start("send", "-", "--list", 1, "--quiet", stdin=subprocess.PIPE) as process:
        # The command handles signals from the moment on that it has connected its own handlers: see /proc.
        _wait_for_handlers(process.pid)
        process.send_signal(signal.SIGINT)
        line = line_with(process, "interrupted")
        code = process.wait(TIMEOUT)

    assert (code, line) == (130, "interrupted before anything was sent\n")
    assert served.sandbox.requests == ()


def test_a_pipe_that_has_a_name_can_be_interrupted_as_well(served, tmp_path) -> None:
    """As the shell's <(...): opening one takes as long as somebody takes to write to it."""
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with start("send", pipe, "--list", 1, "--quiet") as process:
        _wait_for_handlers(process.pid)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT)

    assert (process.returncode, err) == (130, "interrupted before anything was sent\n")


SINGLES = {
    "trigger": (["trigger", "sandbox-trigger", "A=27821234567"], "the message may have been sent"),
    "schedule": (
        ["schedule", "sandbox-trigger", "A=27821234567", "--at", "2036-12-01T08:00Z"],
        "the message may have been sent",
    ),
    "create-list": (["create-list", "Spring", "Number=msisdn"], "list 'Spring' may have been created"),
    "send": (["send", "{file}", "--new-list", "Spring"], "list 'Spring' may have been created"),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("command", "said"), SINGLES.values(), ids=SINGLES)
def test_a_request_that_is_broken_off_says_what_it_may_have_done(
    served, file, command: list[str], said: str, number: int
) -> None:
    served.sandbox.faults = Faults.always(Fault.HANG_AFTER_APPLY)
    path = file(count=1)
    with start(*(word.format(file=path) for word in command), "--json") as process:
        served.until(lambda: served.sandbox.held == 1)
        process.send_signal(number)
        out, err = process.communicate(timeout=TIMEOUT)
    code = 128 + number

    assert (process.returncode, err) == (code, f"interrupted; {said}\n")
    assert json.loads(out) == {"error": f"interrupted; {said}", "exit_code": code}


def test_a_request_that_waits_out_a_refusal_was_not_sent(served) -> None:
    served.sandbox.faults = Faults.parse("always:throttle@600")
    with start("trigger", "sandbox-trigger", "A=27821234567", env={**os.environ, "MOBIZ_LOG": "info"}) as process:
        line_with(process, "throttled")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT)

    assert (process.returncode, err.splitlines()[-1]) == (130, "interrupted before anything was sent")


def _wait_for_handlers(pid: int) -> None:
    """Return when the process handles SIGTERM, which Python itself does not."""
    mask = 1 << (signal.SIGTERM - 1)
    while True:
        with open(f"/proc/{pid}/status") as status:  # noqa: PTH123  # not a file
            caught = next(line for line in status if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) & mask:
            return
        os.sched_yield()


def test_a_slow_pipe_holds_nothing_up(held, tmp_path) -> None:
    """What has come through the pipe goes out; a signal ends the wait for the rest of it."""
    threaded, clock = held
    command = ["send", "-", "--list", 1, "--chunk-size", 1, "--concurrency", 1]
    with start(*command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(PIPED)
        process.stdin.flush()
        threaded.until(lambda: len(threaded.sandbox.requests) == 2)
        process.send_signal(signal.SIGINT)
        line_with(process, "stopping")
        threaded.call(clock.open)
        code = process.wait(TIMEOUT)

    assert (code, threaded.sandbox.applied_total) == (130, 2)


def test_recipients_come_from_standard_input(served) -> None:
    with start("send", "-", "--list", 1, "--quiet", stdin=subprocess.PIPE) as process:
        out, err = process.communicate(PIPED, timeout=TIMEOUT)

    assert (process.returncode, out, err) == (0, "", "")
    assert served.sandbox.applied_total == 600


def test_the_sandbox_says_where_it_is_and_ends_with_ctrl_c() -> None:
    with start("sandbox", env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out = process.stdout.read()
        code = process.wait(TIMEOUT)

    assert code == 0
    assert re.fullmatch(r"A local Mobiz is at http://127\.0\.0\.1:\d+; what is sent there reaches nobody\.\n", first)
    assert "  export MOBIZ_API_KEY=sandbox-api-key\n" in out
