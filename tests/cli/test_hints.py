"""How to go on after a run: nothing is promised that the same command would not keep."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mobiz_async.errors import JournalError
from mobiz_async.journal import SQLiteJournal
from mobiz_async.sandbox import Fault, Faults

KEEPS = "To go on, the same again; nothing goes out twice:\n"


@pytest.fixture
def command(file, tmp_path):
    """`mobiz send` of forty records in chunks of ten, one after the other, with a journal."""
    words = ["--chunk-size", 10, "--concurrency", 1, "--journal", tmp_path / "run"]
    return ["send", file(count=40), "--list", 1, *words]


def test_whoever_has_unknowns_sent_again_is_told_how_many_that_are(cli, served, command) -> None:
    served.sandbox.faults = Faults.script([Fault.RESET_AFTER_APPLY, None, Fault.QUOTA])
    kept = cli(*command)
    served.sandbox.faults = Faults.script([Fault.QUOTA])
    resent = cli(*command, "--on-unknown", "resend")
    served.sandbox.faults = None
    last = cli(*command, "--on-unknown", "resend")

    assert KEEPS in kept.err
    assert "To go on, the same again; it sends the 10 unknown records once more:\n" in resent.err
    assert (last.code, sorted(set(served.sandbox.applied("1").values()))) == (0, [1, 2])


def test_where_nothing_is_unknown_nothing_goes_out_twice(cli, served, command) -> None:
    served.sandbox.faults = Faults.script([None, Fault.QUOTA])

    assert KEEPS in cli(*command, "--on-unknown", "resend").err


def test_unknowns_with_an_opt_out_in_them_are_not_promised_to_go_again(cli, served, command, tmp_path) -> None:
    optouts = tmp_path / "optouts.txt"
    optouts.write_text("27820000005\n")
    served.sandbox.faults = Faults.script([Fault.RESET_AFTER_APPLY, None, Fault.QUOTA])
    cli(*command)
    served.sandbox.faults = Faults.script([Fault.QUOTA])
    words = [*command, "--suppress", optouts, "--on-unknown", "resend"]
    stopped = cli(*words)
    served.sandbox.faults = None
    last = cli(*words)

    promise = "it sends the 10 unknown records once more, but for chunks in which somebody has opted out since:\n"
    assert promise in stopped.err
    assert (last.code, set(served.sandbox.applied("1").values())) == (4, {1})
    assert "not sent again" in last.out


def test_what_stops_at_an_unknown_would_stop_there_again(cli, served, command, tmp_path) -> None:
    """Until it is settled: then the same command goes on."""
    served.sandbox.faults = Faults.script([Fault.RESET_AFTER_APPLY])
    words = [*command, "--on-unknown", "stop"]
    first, again = cli(*words), cli(*words)
    cli("journal", "resolve", tmp_path / "run", 0, "--accepted", "--yes")
    last = cli(*words)

    said = "Once what is unknown is settled (mobiz journal resolve), or with --on-unknown keep, the same again; "
    assert [said in ended.err for ended in (first, again, last)] == [True, True, False]
    assert (last.code, served.sandbox.applied_total) == (0, 40)


def test_what_stops_at_a_failure_rate_would_stop_there_again(cli, served, command) -> None:
    served.sandbox.faults = Faults.script([None, Fault.REJECTED_200])
    words = [*command, "--max-failure-rate", 0.1]
    first, again = cli(*words), cli(*words)
    last = cli(*command, "--max-failure-rate", 0.9)

    said = "With a higher --max-failure-rate, the same again; nothing goes out twice:\n"
    assert [said in ended.err for ended in (first, again, last)] == [True, True, False]
    assert "Stopped early: more records failed than --max-failure-rate allows.\n" in first.out
    assert served.sandbox.applied_total == 30


def test_without_a_journal_the_same_again_would_text_people_twice(cli, served, file) -> None:
    served.sandbox.faults = Faults.script([None, Fault.QUOTA])
    ended = cli("send", file(count=40), "--list", 1, "--chunk-size", 10, "--concurrency", 1)

    said = "The same command would send all of it again: only a run that began with --journal can go on.\n"
    assert ended.err.endswith(said)


@pytest.fixture
def failing(monkeypatch):
    """Journals that can be told of so many outcomes only, and perhaps not even be looked into afterwards."""
    settle, opened = SQLiteJournal.settle, SQLiteJournal.open
    left: list[int] = []

    async def told(journal, settlement):
        if not left[0]:
            raise JournalError("the journal cannot be written: disk I/O error")
        left[0] -= 1
        return await settle(journal, settlement)

    async def closed(journal, identity):
        if identity is None:
            raise JournalError("the journal cannot be opened: OSError")
        return await opened(journal, identity)

    def fail(outcomes: int, *, for_good: bool = False) -> None:
        left[:] = [outcomes]
        monkeypatch.setattr(SQLiteJournal, "settle", told)
        if for_good:
            monkeypatch.setattr(SQLiteJournal, "open", closed)

    return fail


def test_what_was_accepted_and_the_journal_could_not_be_told_is_named(
    cli, served, command, failing, monkeypatch, tmp_path
) -> None:
    """Otherwise it is unknown, and with --on-unknown resend it would go out twice."""
    failing(1)
    ended = cli(*command, "--on-unknown", "resend")
    monkeypatch.undo()
    said = ended.err.splitlines()
    place = said.index(f"  mobiz journal resolve {tmp_path / 'run'} 1 --accepted")

    assert said[place - 1] == (
        "The journal could not be told that 10 records were accepted, and has them as unknown. Before all else:"
    )
    assert KEEPS in ended.err


def test_once_that_is_settled_the_promise_holds(cli, served, command, failing, account, monkeypatch, tmp_path) -> None:
    with monkeypatch.context():
        failing(1)
        cli(*command)
    monkeypatch.undo()
    account(served.sandbox)
    settled = cli("journal", "resolve", tmp_path / "run", 1, "--accepted", "--yes")
    ended = cli(*command, "--on-unknown", "resend")

    assert (settled.code, ended.code, set(served.sandbox.applied("1").values())) == (0, 0, {1})


def test_an_unknown_that_is_none_of_them_is_not_settled_with_them(cli, served, command, failing) -> None:
    served.sandbox.faults = Faults.script([None, Fault.RESET_AFTER_APPLY])
    failing(1)
    ended = cli(*command)

    assert ("unknown   10" in ended.out, "resolve" in ended.err) == (True, False)


def test_a_journal_that_cannot_be_looked_into_is_to_be_looked_into_later(
    cli, served, command, failing, tmp_path
) -> None:
    failing(1, for_good=True)
    ended = cli(*command, "--on-unknown", "resend")

    assert (
        "Of 20 records that were accepted the journal may have some as unknown. Once it can be written again, look:\n"
        f"  mobiz journal status {tmp_path / 'run'}\n"
        "and settle those: mobiz journal resolve FILE CHUNK ... --accepted\n"
        "To go on, the same again; it sends what is unknown once more:\n"
    ) in ended.err


def test_where_nothing_was_accepted_there_is_nothing_to_look_for(cli, served, command, failing) -> None:
    served.sandbox.faults = Faults.always(Fault.REJECTED_200)
    failing(1, for_good=True)

    assert "journal status" not in cli(*command).err


# A source that is the same, and records that are not


@pytest.fixture
def stopped(cli, served, command, tmp_path):
    """A run with a suppression list, which was stopped after twenty records, and the same with another list."""
    optouts = tmp_path / "optouts.txt"

    def go(before: list[int], after: list[int], *words: object) -> Any:
        served.sandbox.faults = Faults.script([None, None, Fault.QUOTA])
        for listed in (before, after):
            optouts.write_text("".join(f"2782{number:07}\n" for number in listed))
            ended = cli(*command, "--suppress", optouts, *words)
        return ended

    return go


@pytest.mark.parametrize("number", [1, 10, 20, 25])
def test_an_opt_out_between_two_runs_is_no_changed_file(stopped, served, number: int) -> None:
    """Of somebody who was texted (1, 10 and 20) as of somebody who was not."""
    ended = stopped([9_999_999], [9_999_999, number])

    assert ended.code == 0
    texted = number <= 20
    assert served.sandbox.applied("1").get(f"2782{number:07}") == (1 if texted else None)
    assert served.sandbox.applied_total == (40 if texted else 39)


@pytest.mark.parametrize(("words", "what"), [((), "--suppress"), (("--map", "Number=Number"), "--map or --suppress")])
def test_a_number_that_is_taken_off_the_list_is_told_from_a_changed_file(stopped, words, what: str) -> None:
    ended = stopped([5], [9_999_999], *words)

    assert ended.code == 4
    assert f"If it was not spring.csv, it was {what}: the source is what comes of them all.\n" in ended.err
    assert "Numbers may be added to --suppress between runs, but none taken off it.\n" in ended.err


def test_without_a_list_and_a_mapping_it_is_the_file(cli, served, command, file) -> None:
    served.sandbox.faults = Faults.script([None, Fault.QUOTA])
    cli(*command)
    file("Number", "27829999999")

    said = cli(*command).err
    assert ("Once the source is what it was" in said, "If it was not" in said) == (True, False)


@pytest.mark.parametrize("gone", [Path.unlink, lambda path: shutil.move(path, path.with_name("aside"))])
def test_a_journal_that_is_gone_ends_the_run_and_nothing_is_promised_without_it(cli, served, command, gone) -> None:
    """Whatever was sent without it the next run would send again."""
    journal = command[-1]

    def remove(count: int) -> None:
        if count == 2:
            gone(journal)

    served.sandbox.faults = Faults(remove)
    ended = cli(*command, "--json")

    assert (ended.code, ended.json["stopped"], served.sandbox.applied_total) == (1, "journal", 20)
    assert "Put it back: without it the same command sends once more what this run has sent." in ended.err
    assert "Once the journal is back, the same again; nothing goes out twice:\n" in ended.err
    assert "journal resolve" not in ended.err


def test_a_journal_that_was_moved_has_all_that_was_sent_and_goes_on_when_it_is_back(cli, served, command) -> None:
    journal = command[-1]
    served.sandbox.faults = Faults(lambda count: journal.rename(f"{journal}.1") and None if count == 2 else None)
    moved = cli(*command, "--json")
    Path(f"{journal}.1").rename(journal)
    served.sandbox.faults = None
    ended = cli(*command, "--json")

    assert (moved.json["accepted"], moved.json["unknown"], ended.json["resumed"]) == (20, 0, 20)
    assert set(served.sandbox.applied("1").values()) == {1}


def test_a_run_that_is_done_says_that_its_journal_is_gone(cli, served, command) -> None:
    """The same command, from a crontab, would find none and begin anew."""
    served.sandbox.faults = Faults(lambda count: command[-1].unlink() if count == 4 else None)
    ended = cli(*command)

    assert (ended.code, served.sandbox.applied_total) == (0, 40)
    assert "Put it back: " in ended.err


def test_a_way_on_names_the_same_journal_whatever_is_in_its_name(cli, served, command, tmp_path) -> None:
    served.sandbox.faults = Faults.script([None, Fault.QUOTA])
    command[-1] = tmp_path / "a\tjournal\udce9"
    ended = cli(*command)

    assert f"""--journal "$(printf %b '{tmp_path}/a\\tjournal\\0351')"\n""" in ended.err
