"""`mobiz journal`: what a run left, its records, and unknown chunks settled by hand."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest
from commanded import COMMAND, TIMEOUT

from mobiz_async.sandbox import Fault, Faults

RECORDS = [f"2782{index:07}" for index in range(1, 10)]


@pytest.fixture
def journal(cli, served, file, tmp_path) -> Path:
    """A journal of three chunks of three: accepted, rejected, unknown."""
    served.sandbox.faults = Faults.script([None, Fault.REJECTED_200, Fault.ERROR_500_AFTER_APPLY])
    path: Path = tmp_path / "spring.journal"
    ended = cli("send", file(count=9), "--list", 1, "--chunk-size", 3, "--concurrency", 1, "--journal", path)
    assert ended.code == 4
    return path


STATUS = """\
spring.journal: list 1
  pending   0
  accepted  3
  rejected  3  refused; `journal export` has them
  unknown   3  may or may not have been sent
3 chunks; everything up to record 6 is settled

chunk  records  sent (UTC)           status  reference
    2  7 to 9   """


def test_status_shows_the_books_and_what_is_unknown(cli, journal) -> None:
    ended = cli("journal", "status", journal)

    assert (ended.code, ended.out[: len(STATUS)]) == (0, STATUS)
    assert [line for line in ended.out.splitlines() if len(line) > 80] == []


def test_status_for_machines(cli, journal) -> None:
    status = cli("journal", "status", journal, "--json").json
    (unknown,) = status.pop("unknown_chunks")

    assert unknown.pop("sent_at") > 0
    assert unknown.pop("reference")
    assert unknown == {"chunk": 2, "first_record": 7, "last_record": 9, "records": 3, "attempts": 1, "status": 500}
    assert status == {
        "journal": str(journal),
        "list_id": "1",
        "records": {"pending": 0, "accepted": 3, "rejected": 3, "unknown": 3},
        "chunks": 3,
        "low_water": 6,
    }


def test_on_a_narrow_screen_nothing_is_cut_off(cli, journal, monkeypatch) -> None:
    wide = cli("journal", "status", journal).out
    monkeypatch.setenv("COLUMNS", "40")
    narrow = cli("journal", "status", journal).out

    assert max(map(len, narrow.splitlines())) <= 40
    assert sorted("".join(narrow.split())) == sorted("".join(wide.split()))


@pytest.fixture
def opted_out(cli, served, file, tmp_path) -> Path:
    """The journal of a run that was stopped before its last chunk of three, and has a suppression list by now."""
    served.sandbox.faults = Faults.script([None, None, Fault.QUOTA, Fault.QUOTA])
    path: Path = tmp_path / "run"
    optouts = tmp_path / "optouts.txt"
    optouts.write_text(f"{RECORDS[7]}\n")
    command = ["send", file(count=9), "--list", 1, "--chunk-size", 3, "--concurrency", 1, "--journal", path]
    cli(*command)
    cli(*command, "--suppress", optouts)
    return path


def test_whoever_has_opted_out_is_not_said_to_be_sent_to(cli, opted_out) -> None:
    assert "not sent; the same command sends it, opt-outs left out\n" in cli("journal", "status", opted_out).out


def test_whoever_takes_records_out_of_a_journal_is_told_of_opt_outs(cli, opted_out) -> None:
    ended = cli("journal", "export", opted_out, "--state", "pending")

    assert "Some of them may have opted out: send them with --suppress, as the run was.\n" in ended.err


def test_many_unknown_chunks_are_counted_not_listed(cli, served, file, tmp_path) -> None:
    served.sandbox.faults = Faults.always(Fault.RESET_AFTER_APPLY)
    path = tmp_path / "journal"
    cli("send", file(count=25), "--list", 1, "--chunk-size", 1, "--journal", path)

    assert "and 5 more" in cli("journal", "status", path).out


@pytest.mark.parametrize(
    ("state", "rows", "reason"),
    [
        ("rejected", [4, 5, 6], "rejected (HTTP 200)"),
        ("unknown", [7, 8, 9], "unknown: ask the vendor before sending it again (HTTP 500)"),
    ],
)
def test_records_come_back_as_json_lines(cli, journal, state: str, rows: list[int], reason: str) -> None:
    ended = cli("journal", "export", journal, "--state", state)

    assert (ended.code, ended.err) == (0, f"3 records {state}\n")
    assert [json.loads(line) for line in ended.out.splitlines()] == [
        {"_row": row, "_reason": reason, "Number": RECORDS[row - 1]} for row in rows
    ]


def test_what_was_exported_can_be_sent_again(cli, served, journal, tmp_path) -> None:
    output = tmp_path / "rejected.jsonl"
    output.touch(0o644)
    exported = cli("journal", "export", journal, "--state", "rejected", "-o", output)
    sent = cli("send", output, "--list", 1)

    assert (exported.code, exported.out, output.stat().st_mode & 0o777) == (0, "", 0o600)
    assert (sent.code, served.sandbox.records("1")[-3:]) == (0, [{"Number": RECORDS[row]} for row in (3, 4, 5)])


def test_an_output_that_cannot_be_written_is_one_line(cli, journal, tmp_path) -> None:
    ended = cli("journal", "export", journal, "--state", "rejected", "-o", tmp_path / "no" / "where.jsonl")

    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "No such file or directory" in ended.err


def test_records_that_the_journal_never_held_are_counted(cli, served, file, tmp_path) -> None:
    """Of a chunk that was being halved when the run ended, some parts are known to be pending and were never sent."""
    served.sandbox.faults = Faults.script([Fault.ERROR_400_LOGIC_APPS, Fault.ERROR_400_LOGIC_APPS, Fault.QUOTA])
    path = tmp_path / "journal"
    cli("send", file(count=8), "--list", 1, "--on-rejected", "split", "--journal", path)
    ended = cli("journal", "export", path, "--state", "pending")

    assert ended.code == 0
    assert "more are in the source only" in ended.err


def test_a_chunk_that_the_vendor_has_is_never_sent_again(cli, served, file, journal) -> None:
    settled = cli("journal", "resolve", journal, 2, "--accepted", "--yes")
    command = ["send", file(count=9), "--list", 1, "--chunk-size", 3, "--concurrency", 1, "--journal", journal]
    ended = cli(*command, "--json")

    assert (settled.code, settled.err) == (0, "3 records marked as accepted\n")
    assert (ended.code, ended.json["accepted"], ended.json["requests"]) == (1, 6, 0)


def test_a_chunk_that_the_vendor_does_not_have_goes_with_the_next_run(cli, served, file, journal) -> None:
    cli("journal", "resolve", journal, "--all-unknown", "--not-sent", "--yes")
    command = ["send", file(count=9), "--list", 1, "--chunk-size", 3, "--concurrency", 1, "--journal", journal]
    ended = cli(*command, "--json")

    assert (ended.json["accepted"], ended.json["rejected"], ended.json["requests"]) == (6, 3, 1)


@pytest.mark.parametrize(("answer", "code", "unknown"), [("y\n", 0, 0), ("n\n", 1, 3), ("", 1, 3)])
def test_settling_asks_first(cli, journal, monkeypatch, answer: str, code: int, unknown: int) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    ended = cli("journal", "resolve", journal, 2, "--accepted")

    assert (ended.code, cli("journal", "status", journal, "--json").json["records"]["unknown"]) == (code, unknown)
    assert "Mark 3 records in 1 chunk as accepted: never sent again? [y/N]:" in ended.err
    assert ("nothing was changed\n" in ended.err) == bool(code)


def waits(process_id: int) -> bool:
    """Whether a process waits for something: Python sees no signal that comes just before it begins to read."""
    stat = Path(f"/proc/{process_id}/stat")
    return not stat.exists() or stat.read_text(encoding="ascii").rpartition(") ")[2].startswith("S")


def test_one_ctrl_c_at_the_question_is_enough(cli, journal) -> None:
    leader, follower = pty.openpty()
    words = ["journal", "resolve", str(journal), "2", "--accepted"]
    with subprocess.Popen([*COMMAND, *words], stdin=follower, stdout=follower, stderr=subprocess.PIPE) as process:
        os.close(follower)
        assert process.stderr is not None
        said = b""
        while not said.endswith(b"[y/N]: "):
            said += process.stderr.read(1)
        while not waits(process.pid):
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        _, last = process.communicate(timeout=TIMEOUT)
    os.close(leader)

    assert (process.returncode, last) == (130, b"\ninterrupted: nothing was changed\n")
    assert cli("journal", "status", journal, "--json").json["records"]["unknown"] == 3


def test_nothing_unknown_is_nothing_to_settle(cli, journal) -> None:
    cli("journal", "resolve", journal, 2, "--accepted", "--yes")
    ended = cli("journal", "resolve", journal, "--all-unknown", "--accepted")

    assert (ended.code, ended.err) == (0, "0 records marked as accepted\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([2], "--accepted or --not-sent"),
        (["--accepted"], "name the chunks, or say --all-unknown"),
        ([2, "--all-unknown", "--accepted"], "name the chunks, or say --all-unknown"),
        ([0, 2, 7, "--not-sent", "--yes"], "not unknown: 2 chunks (0, 7); nothing was changed"),
    ],
)
def test_what_cannot_be_settled_changes_nothing(cli, journal, words: list[object], said: str) -> None:
    ended = cli("journal", "resolve", journal, *words)

    assert (ended.code, cli("journal", "status", journal, "--json").json["records"]["unknown"]) == (2, 3)
    assert said in ended.err


@pytest.mark.parametrize("command", [["status"], ["export", "--state", "unknown"], ["resolve", "1", "--accepted"]])
def test_a_journal_that_is_not_there_is_not_made(cli, tmp_path, command: list[str]) -> None:
    path = tmp_path / "nowhere"
    ended = cli("journal", command[0], path, *command[1:])

    assert (ended.code, ended.err, path.exists()) == (2, f"error: there is no journal at {path}\n", False)
