"""`mobiz demo`: from a file to a local Mobiz in another process, and the books of both compared."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from commanded import TIMEOUT

from mobiz_async.cli import demo as demonstration
from mobiz_async.cli import spellings
from mobiz_async.cli.demo import Arrived, peak_megabytes
from mobiz_async.recipients.phones import normalize
from mobiz_async.reports import BulkReport


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def until_it_writes(process: subprocess.Popen[str], folder: Path) -> None:
    """Return when the file of recipients is there; looking for it all the time would take from who is to make it."""
    while not list(folder.glob("mobiz-demo-*/recipients.csv")):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)


def test_the_books_agree_and_nothing_is_left_behind(cli, folder) -> None:
    ended = cli("demo", "--records", 3000)

    assert (ended.code, list(folder.iterdir())) == (0, [])
    assert "  accepted  3,000\n" in ended.out
    assert "accepted  3,000 records, says the client\n" in ended.out
    assert "arrived   3,000 records, says the server: 3,000 numbers, 0 of them twice\n" in ended.out
    assert "verdict   the books agree\n" in ended.out
    assert [line for line in ended.out.splitlines() if len(line) > 80] == []


def test_the_demo_for_machines(cli, folder) -> None:
    report = cli("demo", "--records", 250, "--json").json

    assert (report["accepted"], report["agree"], report["differences"]) == (250, True, [])
    assert report["arrived"] == {"records": 250, "distinct": 250, "repeated": 0}
    assert report["peak_megabytes"] > 10


def test_books_that_differ_are_a_failure(cli, folder, monkeypatch) -> None:
    """A file in which one number stands twice: the sandbox counts fewer numbers than records."""
    monkeypatch.setattr(demonstration, "_WRITER", (sys.executable, str(Path(__file__).with_name("twice.py"))))
    ended = cli("demo", "--records", 10)

    assert ended.code == 1
    assert "10 different numbers were sent, 9 arrived" in ended.out
    assert "1 numbers arrived more than once" in ended.out


@pytest.mark.parametrize(
    ("arrived", "report", "differences"),
    [
        (Arrived(3, 3, 0), BulkReport(read=3, accepted=3), []),
        (
            Arrived(2, 2, 0),
            BulkReport(read=3, accepted=3),
            ["accepted 3, arrived 2", "3 different numbers were sent, 2 arrived"],
        ),
        (
            Arrived(3, 3, 0),
            BulkReport(read=3, accepted=2, unknown=1),
            ["2 of 3 records were accepted", "accepted 2, arrived 3"],
        ),
        (
            Arrived(2, 2, 0),
            BulkReport(read=2, accepted=2),
            [
                "the file has 3 records, and 2 were read",
                "2 of 3 records were accepted",
                "3 different numbers were sent, 2 arrived",
            ],
        ),
    ],
)
def test_each_difference_is_named(arrived: Arrived, report: BulkReport, differences: list[str]) -> None:
    assert arrived.differences(report, 3) == differences


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit('No space left on device')", ": No space left on device"),
        ("raise SystemExit(1)", ""),
        ("raise KeyError('x')", ": KeyError: 'x'"),
    ],
)
def test_a_file_that_cannot_be_written_is_one_line(cli, folder, monkeypatch, program: str, why: str) -> None:
    monkeypatch.setattr(demonstration, "_WRITER", (sys.executable, "-c", program))
    ended = cli("demo", "--records", 10)

    assert (ended.code, ended.err, list(folder.iterdir())) == (
        1,
        f"error: the file of recipients could not be written{why}\n",
        [],
    )


def test_no_room_for_temporary_files_is_one_line(cli, monkeypatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    ended = cli("demo", "--records", 10)

    assert (ended.code, ended.err) == (1, "error: there is no room for temporary files: No space left on device\n")


def test_books_that_differ_are_told_to_those_who_want_no_report(cli, folder, monkeypatch) -> None:
    monkeypatch.setattr(demonstration, "_WRITER", (sys.executable, str(Path(__file__).with_name("twice.py"))))
    ended = cli("demo", "--records", 10, "--quiet")

    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "10 different numbers were sent, 9 arrived; 1 numbers arrived more than once\n"


def test_ctrl_c_on_a_terminal_is_for_the_demo_alone(started, folder, monkeypatch) -> None:
    """The terminal sends it to the whole group; a child that had it too would print a traceback of its own."""
    monkeypatch.setenv("TMPDIR", str(folder))
    with started("demo", "--records", 5_000_000, start_new_session=True) as process:
        until_it_writes(process, folder)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT)

    assert (process.returncode, err, list(folder.iterdir())) == (130, "interrupted before anything was sent\n", [])


def test_an_interrupted_demo_leaves_nothing_behind(started, folder, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(folder))
    with started("demo", "--records", 300_000) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("sending"):
                break
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=TIMEOUT)

    assert (process.returncode, list(folder.iterdir())) == (130, [])
    assert "verdict" not in out


def test_a_demo_interrupted_while_it_writes_its_file_leaves_nothing_behind(started, folder, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(folder))
    with started("demo", "--records", 5_000_000) as process:
        until_it_writes(process, folder)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=TIMEOUT)

    assert (process.returncode, list(folder.iterdir())) == (143, [])
    assert err == "interrupted before anything was sent\n"


def test_without_figures_of_the_system_there_is_no_line_about_memory(cli, folder, monkeypatch) -> None:
    with monkeypatch.context() as windows:
        windows.setattr(sys, "platform", "win32")
        peak = peak_megabytes()
    monkeypatch.setattr("mobiz_async.cli.demo.peak_megabytes", lambda: peak)
    ended = cli("demo", "--records", 10)

    assert (ended.code, peak, "memory" in ended.out) == (0, None, False)


# The file


def test_a_writer_that_cannot_write_ends_with_the_reason(tmp_path) -> None:
    with pytest.raises(SystemExit, match="No such file or directory"):
        spellings.main([str(tmp_path / "missing" / "recipients.csv"), "10"])


def test_a_writer_whose_parent_has_gone_ends(tmp_path, monkeypatch) -> None:
    parents = itertools.chain([100], itertools.repeat(1))
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    with pytest.raises(SystemExit):
        spellings.main([str(tmp_path / "recipients.csv"), "20000"])

    assert len((tmp_path / "recipients.csv").read_text().splitlines()) < 20_000


def test_the_file_is_the_same_every_time_and_each_number_is_there_once(tmp_path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    spellings.write(one, 12_345)
    spellings.main([str(two), "12345"])
    header, *lines = one.read_text(encoding="utf-8").splitlines()
    numbers = Counter(normalize(line.split(",")[1], "ZA", mobile_only=True) for line in lines)

    assert one.read_bytes() == two.read_bytes()
    assert (header, len(lines), len(numbers)) == (spellings.HEADER, 12_345, 12_345)


def test_every_prefix_comes_in_every_spelling() -> None:
    shapes = {
        (spellings.number(index)[0], "".join("9" if char.isdigit() else char for char in line.split(",")[1]))
        for index, line in enumerate(spellings.rows(0, 5_000))
    }
    prefixes = {prefix for prefix, _ in shapes}

    assert len(shapes) == len(prefixes) * len(spellings.SPELLINGS)


def test_numbers_are_different_to_the_last_one() -> None:
    last = spellings.MOST - 1

    assert len({spellings.number(index) for index in (0, 1, 14, 15, last - 1, last)}) == 6
    assert spellings.number(last) != spellings.number(0)
