"""With --json there is one JSON value on standard output, also where a command fails before it has a report."""

from __future__ import annotations

import json

import pytest

from mobiz_async.cli.exits import Exit
from mobiz_async.cli.interruption import Interrupted
from mobiz_async.sandbox import Fault, Faults

FAILURES: dict[str, tuple[list[str], int, str]] = {
    "no file": (["send", "{folder}/nowhere.csv", "--list", "1"], 2, "nowhere.csv"),
    "no such header": (["send", "{file}", "--list", "1", "--number-field", "Cell"], 2, "no column gives"),
    "no such header, dry": (["send", "{file}", "--dry-run", "--number-field", "Cell"], 2, "no column gives"),
    "no journal": (["journal", "status", "{folder}/nope.j"], 2, "there is no journal"),
    "refused trigger": (["trigger", "nobody", "A=27821234567"], 3, ""),
    "a field is none": (["trigger", "sandbox-trigger", "A"], 2, "NAME=VALUE"),
    "a moment is none": (["schedule", "sandbox-trigger", "A=27821234567", "--at", "soon"], 2, "a time is written"),
    "no such format": (["create-list", "Spring", "Number=phone"], 2, ""),
    "no such option": (["trigger", "--nope", "sandbox-trigger", "A=27821234567"], 2, "--nope"),
    "too few": (["demo", "--records", "0"], 2, "--records"),
    "nowhere to send to": (["send", "{file}"], 2, "where to?"),
    "no such faults": (["sandbox", "--faults", "nope"], 2, ""),
}


@pytest.mark.parametrize(("words", "code", "said"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("last", [True, False])
def test_a_command_that_fails_early_says_so_for_machines_too(
    cli, served, file, tmp_path, words: list[str], code: int, said: str, last: bool
) -> None:
    words = [word.format(file=file(count=1), folder=tmp_path) for word in words]
    options = 2 if words[0] == "journal" else 1
    ended = cli(*words, "--json") if last else cli(*words[:options], "--json", *words[options:])

    assert (ended.code, ended.json.keys(), ended.json["exit_code"]) == (code, {"error", "exit_code"}, code)
    assert said in ended.json["error"]
    assert ended.json["error"] in ended.err.replace("Error: ", "")
    assert "27821234567" not in ended.out


@pytest.mark.parametrize("words", [[], ["--", "--json"]])
def test_whoever_does_not_ask_for_it_gets_none(cli, served, words: list[str]) -> None:
    ended = cli("trigger", "nobody", *words)

    assert (ended.code, ended.out) == (2, "")


def test_a_report_is_the_one_value_also_where_the_run_failed(cli, served, file) -> None:
    served.sandbox.faults = Faults.always(Fault.UNAUTHORIZED)
    ended = cli("send", file(count=1), "--list", 1, "--json")

    assert (ended.code, ended.json["exit_code"], ended.json["read"]) == (3, 3, 1)


def test_an_interruption_says_the_same_to_machines_as_to_people(cli, served, file, monkeypatch) -> None:
    def interrupted(*_: object) -> int:
        raise Interrupted("interrupted before anything was sent", Exit.TERMINATED)

    monkeypatch.setattr("mobiz_async.cli.send.send_order", interrupted)
    ended = cli("send", file(count=1), "--list", 1, "--json")

    assert (ended.code, ended.err) == (143, "interrupted before anything was sent\n")
    assert json.loads(ended.out) == {"error": "interrupted before anything was sent", "exit_code": 143}


def test_a_mistake_of_ours_is_told_to_machines_without_its_text(cli, file, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("27821234567")

    monkeypatch.setattr("mobiz_async.cli.send.preview_order", broken)
    ended = cli("send", file(count=1), "--dry-run", "--json")

    assert ended.json == {"error": "this is a mistake in mobiz_async (KeyError)", "exit_code": 1}
