"""Where `mobiz journal export` may write to, and what it leaves alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from commanded import COMMAND, TIMEOUT

from mobiz_async.cli import exporting
from mobiz_async.sandbox import Fault, Faults

ROWS = [1, 2, 3]


@pytest.fixture
def journal(cli, served, file, tmp_path) -> Path:
    """A journal with three records that were rejected."""
    served.sandbox.faults = Faults.script([Fault.REJECTED_200])
    path: Path = tmp_path / "spring.journal"
    assert cli("send", file(count=3), "--list", 1, "--journal", path).code == 1
    return path


def rows(text: str) -> list[int]:
    return [json.loads(line)["_row"] for line in text.splitlines()]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def _itself(journal: Path) -> Path:
    return journal


def _link(journal: Path) -> Path:
    link = journal.with_name("link")
    link.symlink_to(journal)
    return link


def _hard_link(journal: Path) -> Path:
    link = journal.with_name("hard")
    link.hardlink_to(journal)
    return link


def _roundabout(journal: Path) -> Path:
    return journal.parent / ".." / journal.parent.name / journal.name


def _of_the_database(journal: Path) -> Path:
    return Path(f"{journal}-journal")


@pytest.mark.parametrize("name", [_itself, _link, _hard_link, _roundabout, _of_the_database])
def test_a_journal_is_never_its_own_output(cli, served, journal, name: Callable[[Path], Path]) -> None:
    """Else the run that goes on with it sends everything twice."""
    output, before = name(journal), journal.read_bytes()
    ended = cli("journal", "export", journal, "--state", "rejected", "-o", output)

    assert (ended.code, ended.err.endswith("; nothing was changed\n"), journal.read_bytes()) == (2, True, before)
    assert rows(cli("journal", "export", journal, "--state", "rejected").out) == ROWS


@pytest.mark.parametrize("content", [None, b"", b"Number\n27821234567\n"])
def test_without_a_journal_the_output_stays_as_it_is(cli, tmp_path, content: bytes | None) -> None:
    precious, none = tmp_path / "precious.jsonl", tmp_path / "nope.j"
    precious.write_text("precious")
    if content is not None:
        none.write_bytes(content)
    ended = cli("journal", "export", none, "--state", "unknown", "-o", precious)
    another = cli("journal", "export", none, "--state", "unknown", "-o", tmp_path / "new.jsonl")

    assert (ended.code, another.code, precious.read_text()) == (2, 2, "precious")
    assert sorted(path.name for path in tmp_path.iterdir() if path != none) == ["precious.jsonl"]


@pytest.mark.parametrize("command", [["status"], ["export", "--state", "unknown"]])
def test_an_empty_file_is_no_journal_and_becomes_none(cli, tmp_path, command: list[str]) -> None:
    path = tmp_path / "empty"
    path.touch()
    ended = cli("journal", command[0], path, *command[1:])

    assert (ended.code, ended.out, ended.err, path.stat().st_size) == (
        2,
        "",
        f"error: {path} is empty: it is no journal\n",
        0,
    )


def test_a_file_takes_the_place_of_the_old_one_and_nothing_stays_beside_it(cli, journal, tmp_path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    output = folder / "rejected.jsonl"
    output.write_text("old")
    output.chmod(0o644)
    ended = cli("journal", "export", journal, "--state", "rejected", "-o", output)

    assert (ended.code, rows(output.read_text()), mode(output)) == (0, ROWS, 0o600)
    assert list(folder.iterdir()) == [output]


def test_what_fails_on_the_way_leaves_the_old_file_and_nothing_beside_it(cli, journal, tmp_path, monkeypatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "out"
    folder.mkdir()
    output = folder / "rejected.jsonl"
    output.write_text("old")
    monkeypatch.setattr(exporting.os, "fsync", full)
    ended = cli("journal", "export", journal, "--state", "rejected", "-o", output)

    assert (ended.code, ended.err) == (1, f"error: {output} cannot be written: No space left on device\n")
    assert (output.read_text(), list(folder.iterdir())) == ("old", [output])


def test_a_link_is_replaced_and_what_it_points_to_is_left_alone(cli, journal, tmp_path) -> None:
    target, output = tmp_path / "target", tmp_path / "link.jsonl"
    target.write_text("theirs")
    target.chmod(0o644)
    output.symlink_to(target)
    cli("journal", "export", journal, "--state", "rejected", "-o", output)

    assert (target.read_text(), mode(target)) == ("theirs", 0o644)
    assert (rows(output.read_text()), output.is_symlink(), mode(output)) == (ROWS, False, 0o600)


def test_a_link_to_nothing_is_replaced(cli, journal, tmp_path) -> None:
    output = tmp_path / "link.jsonl"
    output.symlink_to(tmp_path / "nothing")
    ended = cli("journal", "export", journal, "--state", "rejected", "-o", output)

    assert (ended.code, rows(output.read_text()), (tmp_path / "nothing").exists()) == (0, ROWS, False)


def test_a_pipe_is_written_to_and_keeps_its_mode(cli, journal, tmp_path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    pipe.chmod(0o640)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    ended = cli("journal", "export", journal, "--state", "rejected", "-o", pipe)
    reader.join(TIMEOUT)

    assert (ended.code, rows(read[0]), mode(pipe), pipe.is_fifo()) == (0, ROWS, 0o640, True)


@pytest.mark.parametrize("through_link", [False, True])
def test_a_device_keeps_its_mode(cli, journal, tmp_path, through_link: bool) -> None:
    output, before = Path(os.devnull), mode(Path(os.devnull))
    if through_link:
        output = tmp_path / "link"
        output.symlink_to(os.devnull)
    ended = cli("journal", "export", journal, "--state", "rejected", "-o", output)

    assert (ended.code, mode(Path(os.devnull)), output.is_symlink()) == (0, before, through_link)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_that_is_full_is_one_line(cli, journal) -> None:
    ended = cli("journal", "export", journal, "--state", "rejected", "-o", "/dev/full")

    assert (ended.code, ended.err) == (1, "error: /dev/full cannot be written: No space left on device\n")


def test_a_dash_is_standard_output(cli, journal, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli("journal", "export", journal, "--state", "rejected", "-o", "-")

    assert (ended.code, rows(ended.out), (tmp_path / "-").exists()) == (0, ROWS, False)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/stdout is opened anew on Linux only")
def test_what_is_open_already_is_added_to(journal, tmp_path) -> None:
    """`-o /dev/stdout >>all.jsonl` must neither replace the file nor write over it."""
    everything = tmp_path / "all.jsonl"
    everything.write_text('{"_row": 0}\n')
    everything.chmod(0o644)
    with everything.open("a") as file:
        subprocess.run(
            [*COMMAND, "journal", "export", str(journal), "--state", "rejected", "-o", "/dev/stdout"],
            stdout=file,
            timeout=TIMEOUT,
            check=True,
        )

    assert (rows(everything.read_text()), mode(everything)) == ([0, *ROWS], 0o644)


def test_a_file_that_is_write_protected_stays(cli, journal, tmp_path, monkeypatch) -> None:
    """The folder would allow to replace it."""
    output = tmp_path / "protected"
    output.write_text("precious")
    monkeypatch.setattr(exporting.os, "access", lambda path, how: how != os.W_OK)  # as whoever is not root sees it
    ended = cli("journal", "export", journal, "--state", "rejected", "-o", output)

    assert (ended.code, ended.err) == (2, f"error: {output} cannot be written: Permission denied\n")
    assert output.read_text() == "precious"


def test_whatever_breaks_it_off_removes_what_was_begun(tmp_path) -> None:
    with contextlib.suppress(KeyboardInterrupt), exporting.exported(tmp_path / "new.jsonl") as target:
        target.write(b"{}")
        raise KeyboardInterrupt

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_removes_what_was_begun_and_ends_the_command(tmp_path, number: int, code: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, exporting.exported(tmp_path / "new.jsonl"):
        signal.raise_signal(number)

    assert (code, [], before) == (ended.value.code, list(tmp_path.iterdir()), signal.getsignal(number))
