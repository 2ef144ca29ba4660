"""The file of rejects: what it must not hold, what it must not write over, and what happens when it is full."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mobiz_async.cli.rejecting import Rejects
from mobiz_async.errors import ConfigurationError
from mobiz_async.sandbox import Fault, Faults

APPENDS: Any = {"where": lambda path: "append" in path}


@pytest.fixture
def command(file, tmp_path):
    """`mobiz send` of twelve good rows and a bad one, in chunks of three, with a journal and rejects."""
    path = file("Number", "12", *(f"2782{index:07}" for index in range(1, 13)))
    words = ["--chunk-size", 3, "--concurrency", 1, "--journal", tmp_path / "journal"]
    return ["send", path, "--list", 1, *words, "--rejects", tmp_path / "rejects.csv", "--region", "ZA"]


@pytest.mark.parametrize(
    ("fault", "first"),
    [
        (Fault.UNAUTHORIZED, "Once the keys are right"),
        (Fault.REDIRECT_307, "Once the address is right (another list takes another journal)"),
    ],
)
def test_what_was_refused_for_a_key_or_an_address_is_not_among_them(
    cli, served, command, tmp_path, fault, first: str
) -> None:
    """The journal has it as pending: the same command sends it, and so would whoever sent the rejects."""
    served.sandbox.faults = Faults.script([None, fault], **APPENDS)
    ended = cli(*command)

    assert [row.split(",")[0] for row in (tmp_path / "rejects.csv").read_text().splitlines()[1:]] == ["1"]
    assert f"{first}, the same again; nothing goes out twice:" in ended.err


def test_without_a_journal_it_is_among_them(cli, served, file, tmp_path) -> None:
    served.sandbox.faults = Faults.always(Fault.UNAUTHORIZED)
    ended = cli("send", file(count=2), "--list", 1, "--rejects", tmp_path / "rejects.csv", "--json")

    assert (ended.code, ended.json["records_in_rejects"]) == (3, 2)


@pytest.mark.parametrize("name", ["spring.csv", "journal", "./spring.csv"])
def test_the_source_and_the_journal_are_not_taken_for_it(cli, served, command, tmp_path, name) -> None:
    cli(*command)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    command[command.index(tmp_path / "rejects.csv")] = tmp_path / name
    ended = cli(*command)

    assert (ended.code, "rejects need a file of their own" in ended.err) == (2, True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def _linked(folder: Path) -> Path:
    link = folder / "link"
    link.symlink_to(folder / "journal")
    return link


@pytest.mark.parametrize(
    "name",
    [
        lambda folder: folder / "journal",
        lambda folder: folder / "journal-journal",
        lambda folder: folder / "journal-wal",
        lambda folder: folder / "journal-shm",
        lambda folder: folder / ".." / folder.name / "journal",
        _linked,
    ],
)
def test_what_the_journal_will_need_is_not_taken_for_it(cli, served, command, tmp_path, name) -> None:
    """Nothing is there yet. A journal that is moved away while it is used is forgotten, and all goes out again."""
    command[command.index(tmp_path / "rejects.csv")] = name(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    ended = cli(*command)

    assert (ended.code, "rejects need a file of their own" in ended.err) == (2, True)
    assert (served.sandbox.requests, sorted(path.name for path in tmp_path.iterdir())) == ((), before)


@pytest.mark.parametrize("option", ["--rejects", "--journal"])
def test_a_dash_is_not_the_name_of_a_file(cli, served, file, tmp_path, monkeypatch, option: str) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli("send", file(count=1), "--list", 1, option, "-")

    assert (ended.code, served.sandbox.requests, (tmp_path / "-").exists()) == (2, (), False)
    assert f"Invalid value for '{option}': it has to be a file" in ended.err


@pytest.mark.parametrize("journal", ["spring.csv", "numbers"])
def test_the_source_is_neither_the_journal_nor_of_it(cli, served, file, tmp_path, journal: str) -> None:
    """SQLite would take what stands beside its file for its own, and empty it."""
    path = file(count=2, name="spring.csv" if journal == "spring.csv" else f"{journal}-journal")
    before = path.read_bytes()
    ended = cli("send", path, "--list", 1, "--format", "csv", "--journal", tmp_path / journal)

    assert (ended.code, served.sandbox.requests, path.read_bytes()) == (2, (), before)
    assert "is to be read: the journal needs a file of its own" in ended.err


@pytest.mark.parametrize("name", ["rejects.xlsx", "rejects.csv.gz", "rejects.TSV"])
def test_a_name_of_another_kind_of_file_is_told_before_a_list_is_created(cli, served, file, tmp_path, name) -> None:
    lists = len(served.sandbox.lists)
    ended = cli("send", file(count=2), "--new-list", "Spring", "--rejects", tmp_path / name)

    assert (ended.code, "name it .csv, which spreadsheets open, or .jsonl" in ended.err) == (2, True)
    assert (len(served.sandbox.lists), (tmp_path / name).exists()) == (lists, False)


def test_the_suppression_list_is_not_taken_for_it(cli, served, command, tmp_path) -> None:
    optouts = tmp_path / "rejects.csv"
    optouts.write_text("27829999999\n")
    ended = cli(*command, "--suppress", optouts)

    assert (ended.code, optouts.read_text(), served.sandbox.requests) == (2, "27829999999\n", ())
    assert "rejects need a file of their own" in ended.err


@pytest.mark.parametrize("option", ["--rejects", "--journal"])
def test_a_name_that_leaves_no_room_for_another_is_told_before_a_list_is_created(
    cli, served, file, tmp_path, option: str
) -> None:
    ended = cli("send", file(count=1), "--new-list", "Spring", option, tmp_path / ("r" * 250))

    assert (ended.code, served.sandbox.requests) == (2, ())
    assert ended.err.endswith(": File name too long\n")


@pytest.mark.parametrize("going_on", [True, False])
def test_what_appears_meanwhile_is_not_lost(tmp_path, going_on: bool) -> None:
    """It is kept beside where a run goes on, and otherwise not touched."""
    path = tmp_path / "rejects.csv"
    rejects = Rejects(path, journal=None, read=(), going_on=going_on)
    path.write_text("somebody's")
    with contextlib.nullcontext() if going_on else pytest.raises(ConfigurationError, match="exists"):
        rejects.begin(["Number"], lambda: None)
    rejects.end()

    assert [file.read_text() for file in tmp_path.iterdir()] == ["somebody's"]


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(ConfigurationError, match="its folder is not writable"):
        Rejects(tmp_path / "rejects.csv", journal=None, read=(), going_on=False)


def test_rejects_that_cannot_be_begun_send_nothing(cli, served, command, monkeypatch) -> None:
    def refused(*_: object) -> None:
        raise ConfigurationError("no")

    monkeypatch.setattr(Rejects, "begin", refused)
    ended = cli(*command)

    assert (ended.code, served.sandbox.requests) == (2, ())


def test_what_cannot_be_moved_aside_is_left(tmp_path, monkeypatch) -> None:
    rejects = Rejects(tmp_path / "rejects.csv", journal=None, read=(), going_on=True)
    (tmp_path / "rejects.csv").write_text("mended")

    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Path, "replace", busy)
    with pytest.raises(ConfigurationError, match="cannot be kept beside: Device or resource busy"):
        rejects.begin(["Number"], lambda: None)

    assert (tmp_path / "rejects.csv").read_text() == "mended"


def test_a_file_that_is_none_of_rejects_is_left_alone(cli, served, command, tmp_path) -> None:
    cli(*command)
    (tmp_path / "rejects.csv").write_text("my notes")
    ended = cli(*command)

    assert (ended.code, (tmp_path / "rejects.csv").read_text()) == (2, "my notes")
    assert "is no file of rejects; it is not written over" in ended.err


def test_a_device_is_left_as_it_is(cli, served, command, tmp_path) -> None:
    cli(*command)
    before = Path("/dev/full").stat().st_mode
    (tmp_path / "rejects.csv").unlink()
    (tmp_path / "rejects.csv").symlink_to("/dev/full")
    ended = cli(*command)

    assert (ended.code, stat.S_IMODE(before)) == (2, stat.S_IMODE(Path("/dev/full").stat().st_mode))


def test_one_that_was_mended_meanwhile_is_kept(cli, served, command, tmp_path) -> None:
    cli(*command)
    rejects = tmp_path / "rejects.csv"
    original = rejects.read_text()
    rejects.write_text(mended := original.replace(",12", ",27821234567"))
    ended = cli(*command)

    assert (rejects.read_text(), (tmp_path / "rejects.csv.1").read_text()) == (original, mended)
    assert f"{rejects} as it was before is kept as rejects.csv.1.\n" in ended.err


def test_one_that_is_still_the_same_is_not_kept_twice(cli, served, command, tmp_path) -> None:
    for _ in range(2):
        cli(*command)

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["journal", "journal-journal", "rejects.csv", "spring.csv"]


def _rejects_of_runs(folder: Path, *runs: str) -> dict[str, str]:
    """Write what so many runs on one journal did before they were killed; return the files that the last one leaves."""
    for number, numbers in enumerate(runs):
        rejects = Rejects(folder / "rejects.csv", journal=folder / "journal", read=[], going_on=number > 0)
        rejects.begin(["Number"], lambda: None)
        assert rejects._writer is not None
        for each in numbers:
            rejects._writer.write({"Number": each}, row=1, reason="")
        rejects._writer.close() if numbers else rejects._writer._file.close()
    rejects.end()
    return {
        path.name: "".join(line[-1] for line in path.read_text().split()[1:])
        for path in folder.iterdir()
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("runs", "left"),
    [
        (["", "12"], {"": "12"}),
        (["1", "12"], {"": "12"}),
        (["1", "12", "123", "1234"], {"": "1234"}),
        (["12", "1", "", "123"], {"": "123"}),
        (["12", "1", "1"], {"": "1", ".1": "12"}),
        (["9", "1", "12", "123"], {"": "123", ".1": "9"}),
        (["1", "9", "12"], {"": "12", ".1": "1", ".2": "9"}),
    ],
)
def test_of_runs_that_are_killed_again_and_again_no_file_is_kept_that_is_the_beginning_of_another(
    tmp_path, runs: list[str], left: dict[str, str]
) -> None:
    """A supervisor that starts them anew would else fill the disk with recipients."""
    assert _rejects_of_runs(tmp_path, *runs) == {f"rejects.csv{suffix}": text for suffix, text in left.items()}


def test_what_cannot_be_read_of_an_earlier_run_is_kept_and_in_nobodys_way(tmp_path) -> None:
    (tmp_path / "rejects.csv.1").mkdir()

    assert _rejects_of_runs(tmp_path, "9", "1") == {"rejects.csv": "1", "rejects.csv.2": "9"}


@pytest.mark.parametrize("mistake", [["--chunk-size", 4], ["--region", "US"]])
def test_a_command_that_cannot_go_on_leaves_it_alone(cli, served, command, tmp_path, mistake) -> None:
    cli(*command)
    before = (tmp_path / "rejects.csv").read_bytes()
    ended = cli(*command, *mistake)

    assert (ended.code, "belongs to another run" in ended.err) == (2, True)
    assert before == (tmp_path / "rejects.csv").read_bytes()


@contextlib.contextmanager
def small_disk(size: int = 2000) -> Iterator[None]:
    """No file of this process may be larger than ``size`` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


FILLING = ["Number,Name", *(f"2782{index:07},x" for index in range(1, 5)), *(f"12,{'x' * 900}" for _ in range(9))]


def test_a_full_disk_stops_the_run_and_the_report_is_told(cli, served, file, tmp_path) -> None:
    words = ["--list", 1, "--region", "ZA", "--chunk-size", 2, "--rejects", tmp_path / "rejects.csv", "--json"]
    path = file(*FILLING)
    with small_disk():
        ended = cli("send", path, *words)

    assert (ended.code, ended.json["accepted"]) == (1, served.sandbox.applied_total)
    assert "rejects.csv cannot be written (File too large): it is not complete" in ended.err
    assert "File too large" in ended.json["error"]


def test_a_disk_without_room_for_the_header_sends_nothing_and_leaves_nothing_in_the_way(
    cli, served, file, tmp_path
) -> None:
    words = ["--list", 1, "--region", "ZA", "--rejects", tmp_path / "rejects.csv"]
    path = file("Number,Name", "12,x", "27821234567,x")
    with small_disk(5):
        full = cli("send", path, *words)
    left = (tmp_path / "rejects.csv").exists(), served.sandbox.requests
    ended = cli("send", path, *words)

    assert (full.code, left) == (2, (False, ()))
    assert (ended.code, served.sandbox.applied_total) == (1, 1)


def test_an_empty_one_of_a_run_that_was_killed_as_it_began_is_not_in_the_way(cli, served, command, tmp_path) -> None:
    cli(*command)
    (tmp_path / "rejects.csv").write_bytes(b"")
    ended = cli(*command)

    assert (ended.code, "12" in (tmp_path / "rejects.csv").read_text()) == (1, True)
    assert not (tmp_path / "rejects.csv.1").exists()


def test_on_a_full_disk_it_ends_with_a_whole_record(cli, served, file, tmp_path) -> None:
    """Half of one may pass for a record, and what is left of its text would go out."""
    words = ["--list", 1, "--region", "ZA", "--rejects", tmp_path / "rejects.csv", "--json"]
    path = file(*FILLING)
    with small_disk():
        ended = cli("send", path, *words)
    rows = (tmp_path / "rejects.csv").read_bytes().splitlines(keepends=True)

    assert {row[-2:] for row in rows} == {b"\r\n"}
    assert (ended.json["records_in_rejects"], [len(row) > 900 for row in rows[1:]]) == (2, [True, True])


def test_a_disk_without_room_for_more_columns_leaves_what_was_there(cli, served, tmp_path) -> None:
    path, rejects = tmp_path / "spring.jsonl", tmp_path / "rejects.csv"
    records = "".join(f'{{"Number":"12","Name":"{"x" * 800}"}}\n' for _ in range(4))
    path.write_text(records)
    words = ["send", path, "--list", 1, "--region", "ZA", "--rejects", rejects, "--json"]
    cli(*words)
    narrow = rejects.read_bytes()
    rejects.unlink()
    path.write_text(records + json.dumps({"Number": "13", "Surname": "x"}))
    with small_disk(len(narrow) + 5):
        ended = cli(*words)

    assert ("File too large" in ended.json["error"], rejects.read_bytes()) == (True, narrow)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["rejects.csv", "spring.jsonl"]


def test_what_a_run_was_stopped_for_is_said_and_not_taken_for_an_interruption(cli, served, file, tmp_path) -> None:
    path = file(*FILLING, *(f"2782{index:07},x" for index in range(10, 5_000)))
    words = ["--list", 1, "--region", "ZA", "--chunk-size", 2, "--rejects", tmp_path / "rejects.csv"]
    with small_disk():
        ended = cli("send", path, *words)

    assert "Stopped early: the rejects cannot be written.\n" in ended.out


@pytest.mark.parametrize(
    "mistake",
    [["--region", "XX"], ["--chunk-size", 99_999], ["--rejects", "{}/missing/r.csv"], ["--journal", "{}/missing/j"]],
)
def test_no_list_is_created_for_what_cannot_be_done(cli, served, file, tmp_path, mistake) -> None:
    words = [str(word).format(tmp_path) for word in mistake]
    ended = cli("send", file(count=2), "--new-list", "Spring", *words)

    assert (ended.code, len(served.sandbox.lists)) == (2, 1)


def test_a_file_that_breaks_in_the_middle_says_why(cli, served, tmp_path) -> None:
    path = tmp_path / "spring.csv"
    path.write_bytes(b"Number,Name\n" + b"27821234567,x\n" * 30_000 + b"27821234567,Andr\xe9\n")
    ended = cli("send", path, "--list", 1, "--journal", tmp_path / "journal")

    assert (ended.code, "is not UTF-8" in ended.err) == (2, True)
    assert "Once the source can be read, the same again; nothing goes out twice:" in ended.err
