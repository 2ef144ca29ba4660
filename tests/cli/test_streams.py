"""Streams that are full, gone or missing: what became of the messages decides the exit code."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commanded import COMMAND, TIMEOUT, Ended

from mobiz_async.cli.streams import MissingInput, Output, delivered, guarded
from mobiz_async.errors import ConfigurationError
from mobiz_async.sandbox import Fault, Faults

TRIGGER = ["trigger", "sandbox-trigger", "A=27821234567"]
FULL = "error: standard output: No space left on device\n"
CLOSED = "error: standard output: Bad file descriptor\n"

linux = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def shell(redirection: str, *argv: object, **settings: str) -> Ended:
    """Run the command in a process of its own, with its streams redirected by the shell."""
    ended = subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *COMMAND, *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        env={**os.environ, "COLUMNS": "80", **settings},
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@linux
@pytest.mark.parametrize(
    ("redirection", "said"),
    [
        (">/dev/full", FULL),
        (">&-", CLOSED),
        ("2>/dev/full", ""),
        ("2>&-", ""),
        (">/dev/full 2>/dev/full", ""),
        ("<&- >&- 2>&-", ""),
        ("--json >/dev/full", FULL),
        ("--json >&-", CLOSED),
        ("--json >&- 2>&-", ""),
    ],
)
def test_a_message_that_was_accepted_ends_with_0_whatever_becomes_of_its_receipt(
    served, redirection: str, said: str
) -> None:
    """Else a script tries again, and somebody is texted twice."""
    ended = shell(redirection, *TRIGGER)

    assert (ended.code, ended.err, len(served.sandbox.messages)) == (0, said, 1)


@linux
@pytest.mark.parametrize(
    ("fault", "code", "redirection"),
    [
        (Fault.UNAUTHORIZED, 3, ">/dev/full 2>/dev/full"),
        (Fault.RESET_AFTER_APPLY, 4, ">&- 2>&-"),
        (Fault.REJECTED_200, 1, ">/dev/full 2>&-"),
    ],
)
def test_a_message_that_was_not_accepted_keeps_its_code(served, fault: Fault, code: int, redirection: str) -> None:
    served.sandbox.faults = Faults.always(fault)

    assert shell(redirection, *TRIGGER, "--json").code == code


@linux
@pytest.mark.parametrize(
    ("redirection", "faults", "code"),
    [
        (">/dev/full", [], 0),
        (">&-", [None, Fault.RESET_AFTER_APPLY], 4),
        ("2>/dev/full", [None, Fault.RESET_AFTER_APPLY], 4),
        ("2>&-", [], 0),
        (">/dev/full 2>/dev/full", [None, Fault.RESET_AFTER_APPLY], 4),
        ("<&- >&- 2>&-", [], 0),
    ],
)
def test_a_run_ends_with_what_became_of_its_records(
    served, file, tmp_path, redirection: str, faults: list[Fault | None], code: int
) -> None:
    served.sandbox.faults = Faults.script(faults)
    command = ["send", file(count=9), "--list", 1, "--chunk-size", 3, "--concurrency", 1, "--journal", tmp_path / "j"]
    ended = shell(redirection, *command)

    assert (ended.code, len(served.sandbox.requests)) == (code, 3)
    assert ended.err.count("error: standard output: ") == int(">" in redirection and "2>" not in redirection)
    assert "Traceback" not in ended.err


@linux
@pytest.mark.parametrize(
    ("redirection", "said", "words"),
    [
        (">/dev/full", FULL, ["journal", "status", "{journal}"]),
        (">&-", CLOSED, ["journal", "status", "{journal}", "--json"]),
        (">/dev/full", FULL, ["journal", "export", "{journal}", "--state", "rejected"]),
        (">&-", CLOSED, ["journal", "export", "{journal}", "--state", "rejected", "-o", "-"]),
        (">/dev/full", FULL, ["create-list", "Spring", "Number=msisdn", "--json"]),
        (">&-", CLOSED, ["sandbox", "--lifetime", "1ms", "--json"]),
        (">/dev/full", FULL, ["sandbox", "--list-faults"]),
        (">&-", CLOSED, ["send", "{file}", "--dry-run"]),
        (">/dev/full", FULL, ["demo", "--records", "10", "--json", "--quiet"]),
    ],
)
def test_a_command_that_is_run_for_what_it_writes_fails_where_that_is_lost(
    cli, served, file, tmp_path, words: list[str], redirection: str, said: str
) -> None:
    served.sandbox.faults = Faults.script([Fault.REJECTED_200])
    path, journal = file(count=3), tmp_path / "j"
    cli("send", path, "--list", 1, "--journal", journal)
    ended = shell(redirection, *(word.format(journal=journal, file=path) for word in words))

    assert (ended.code, ended.err) == (1, said)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_in_one_file_the_lines_of_both_streams_are_in_order(served, file, unbuffered: str) -> None:
    ended = shell("2>&1", "send", file(count=2), "--list", 99, PYTHONUNBUFFERED=unbuffered)

    lines = [line for line in ended.out.splitlines() if line]
    places = [
        next(place for place, line in enumerate(lines) if line.startswith(begin))
        for begin in ("sending spring.csv", "spring.csv to list 99", "Stopped early", "error:", "Nothing after record")
    ]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, len(lines) - 1)


def test_a_reader_that_has_seen_enough_is_no_cause_for_words(cli, served, file, tmp_path) -> None:
    served.sandbox.faults = Faults.always(Fault.REJECTED_200)
    cli("send", file(count=40_000), "--list", 1, "--journal", tmp_path / "j")
    ended = shell(
        "| head -n 1 >/dev/null; echo over", "journal", "export", tmp_path / "j", "--state", "rejected", "--quiet"
    )

    assert (ended.out, ended.err) == ("over\n", "")


@pytest.mark.parametrize("words", [[], ["--dry-run"], ["--json"]])
def test_recipients_from_an_input_that_is_closed_are_a_mistake_of_usage(served, words: list[str]) -> None:
    ended = shell("<&-", "send", "-", "--list", 1, *words)

    assert (ended.code, ended.err) == (2, "error: there is no standard input to read from: it is closed\n")
    assert served.sandbox.requests == ()


def test_nobody_answers_on_an_input_that_is_closed(cli, served, file, tmp_path) -> None:
    served.sandbox.faults = Faults.always(Fault.RESET_AFTER_APPLY)
    cli("send", file(count=3), "--list", 1, "--journal", tmp_path / "j")
    ended = shell("<&-", "journal", "resolve", tmp_path / "j", "--all-unknown", "--accepted")

    assert (ended.code, ended.err.splitlines()[-1]) == (1, "nothing was changed")


def test_a_name_that_the_output_has_no_letters_for_is_spelt(served) -> None:
    table = shell("", "create-list", "Früh", "Number=msisdn", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    value = shell("", "create-list", "Früh", "Number=msisdn", "--json", PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert (table.code, table.out.splitlines()[0], table.err) == (0, r"created  Fr\xfch", "")
    assert (value.code, value.json["name"]) == (0, "Früh")


# The parts


class _Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_failure_is_told_once_and_what_follows_is_dropped() -> None:
    told: list[str] = []
    output = Output(_Full(), "standard output", told.append)
    output.writelines(["a", "b"])
    output.flush()

    assert (told, output.failed, output.used) == (["error: standard output: No space left on device"], True, True)


def test_a_stream_that_is_closed_is_told_as_such() -> None:
    told: list[str] = []
    stream = io.StringIO()
    stream.close()
    output = Output(stream, "standard output", told.append)
    output.write("a")

    assert (told, output.isatty()) == (["error: standard output: it is closed"], False)


def test_a_stream_that_is_missing_fails_only_where_something_is_written() -> None:
    output = Output(None, "standard output")
    output.write("")
    output.flush()
    output.buffer.flush()
    silent = output.failed
    output.buffer.writelines([b"a"])

    assert (silent, output.failed, output.encoding, output.errors) == (False, True, "utf-8", "strict")
    with pytest.raises(OSError, match="Bad file descriptor"):
        output.fileno()


@pytest.mark.parametrize("write", [lambda: Output(None, "").write(b""), lambda: Output(None, "").buffer.write("")])
def test_text_and_bytes_are_not_mixed(write: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="written here, not"):
        write()


def test_a_terminal_that_cannot_be_asked_is_none() -> None:
    class Gone(io.StringIO):
        def isatty(self) -> bool:
            raise OSError(5, "Input/output error")

    assert not Output(Gone(), "standard error").isatty()


def test_the_streams_are_given_back(monkeypatch) -> None:
    streams = (None, io.StringIO(), None)
    for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
        monkeypatch.setattr(sys, name, stream)
    with guarded() as output:
        inside = sys.stdin, sys.stdout
        sys.stdout.write("a")
        sys.stderr.write("b")
        code = delivered()

    assert (type(inside[0]), inside[1], code) == (MissingInput, output, 0)
    assert (sys.stdin, sys.stdout, sys.stderr) == streams
    assert streams[1].getvalue() == "a"


def test_a_missing_input_is_at_its_end_and_has_no_recipients() -> None:
    missing = MissingInput()

    assert (missing.readline(), missing.isatty()) == ("", False)
    with pytest.raises(OSError, match="Bad file descriptor"):
        missing.fileno()
    with pytest.raises(ConfigurationError, match="no standard input"):
        _ = missing.buffer
