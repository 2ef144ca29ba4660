"""`mobiz trigger`, `mobiz schedule` and `mobiz create-list`."""

from __future__ import annotations

import io
import sys

import pytest

from mobiz_async.sandbox import Fault, Faults

MESSAGE = ["sandbox-trigger", "A=27821234567", "B=Thandi"]


def test_a_message_goes_now(cli, served) -> None:
    ended = cli("trigger", *MESSAGE)
    (message,) = served.sandbox.messages

    assert (ended.code, message.number, message.send_time) == (0, "27821234567", None)
    assert ended.out == f"accepted    Accepted\nreference   ref-00000001\nmessage id  {message.message_id}\n"


def test_the_receipt_for_machines(cli, served) -> None:
    ended = cli("trigger", *MESSAGE, "--json")
    (message,) = served.sandbox.messages

    assert ended.json == {
        "outcome": "accepted",
        "reference": "ref-00000001",
        "result_code": 3,
        "description": "Accepted",
        "message_id": message.message_id,
        "message_ids": [message.message_id],
    }


@pytest.mark.parametrize(
    ("words", "send_time"),
    [([], "2111723999"), (["--send-time-format", "iso8601"], "2036-12-01T05:59:59Z")],
)
def test_a_message_goes_later(cli, served, words: list[str], send_time: str) -> None:
    ended = cli("schedule", *MESSAGE, "--at", "2036-12-01T07:59:59+02:00", *words)

    assert (ended.code, [message.send_time for message in served.sandbox.messages]) == (0, [send_time])


@pytest.mark.parametrize("moment", ["2016-12-01T08:00Z", "2036-12-01T08:00", "soon"])
def test_a_moment_that_is_past_or_vague_sends_nothing(cli, served, moment: str) -> None:
    ended = cli("schedule", *MESSAGE, "--at", moment)

    assert (ended.code, ended.out, served.sandbox.requests) == (2, "", ())


def test_a_list_is_created(cli, served) -> None:
    ended = cli("create-list", "Spring", "Number=msisdn", "Message=text")
    made = served.sandbox.lists["142874"]

    assert (ended.code, ended.out) == (0, "created  Spring\nlist id  142874\n")
    assert (made.name, made.definition) == ("Spring", {"Number": "msisdn", "Message": "text"})


def test_a_created_list_for_machines(cli, served) -> None:
    assert cli("create-list", "Spring", "Number=msisdn", "--json").json == {
        "list_id": "142874",
        "name": "Spring",
        "definition": {"Number": "msisdn"},
    }


def test_a_list_belongs_to_somebody(cli, served, monkeypatch) -> None:
    monkeypatch.delenv("MOBIZ_USERNAME")
    ended = cli("create-list", "Spring", "Number=msisdn")

    assert (ended.code, served.sandbox.requests) == (2, ())
    assert "MOBIZ_USERNAME" in ended.err


@pytest.mark.parametrize(
    ("fault", "code"),
    [(Fault.UNAUTHORIZED, 3), (Fault.RESET_AFTER_APPLY, 4), (Fault.REJECTED_200, 1), (Fault.QUOTA, 1)],
)
@pytest.mark.parametrize("command", [["trigger", *MESSAGE], ["create-list", "Spring", "Number=msisdn"]])
def test_what_went_wrong_is_one_line_and_a_code(cli, served, command: list[str], fault: Fault, code: int) -> None:
    served.sandbox.faults = Faults.always(fault)
    ended = cli(*command)

    assert (ended.code, ended.out, ended.err.count("\n"), len(served.sandbox.requests)) == (code, "", 1, 1)
    assert ended.err.startswith("error: ")
    assert "27821234567" not in ended.err


def test_an_engagement_that_is_not_there_counts_as_a_wrong_key(cli, served) -> None:
    assert cli("trigger", "nobody", "A=27821234567").code == 3


@pytest.mark.parametrize("words", [["A27821234567"], ["=27821234567"], ["A=1", "A=27821234567"], []])
def test_fields_that_cannot_be_read_are_not_repeated(cli, served, words: list[str]) -> None:
    ended = cli("trigger", "sandbox-trigger", *words)

    assert (ended.code, served.sandbox.requests) == (2, ())
    assert "27821234567" not in ended.err


@pytest.fixture
def typed(monkeypatch):
    """A function that puts something on standard input."""

    def put(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))

    return put


@pytest.mark.parametrize("command", [["trigger"], ["schedule", "--at", "2099-01-01T08:00+02:00"]])
def test_a_message_may_come_from_standard_input_as_arguments_are_for_all_to_see(cli, served, typed, command):
    typed(b'{"A": "27821234567", "B": "Th\xc3\xa4ndi"}\n')
    ended = cli(*command, "sandbox-trigger", "-")

    assert ended.code == 0, ended.err
    assert [record for _, record in served.sandbox.latest] == [{"A": "27821234567", "B": "Thändi"}]


@pytest.mark.parametrize("content", [b"", b"A=27821234567", b'["27821234567"]', b'{"A":"27821234567"', b'{"A":"\xff"}'])
def test_what_is_no_object_there_is_refused_without_a_word_of_it(cli, served, typed, content):
    typed(content)
    ended = cli("trigger", "sandbox-trigger", "-")

    assert (ended.code, served.sandbox.requests) == (2, ())
    assert ended.err.startswith("error: standard input is to hold one JSON object")
    assert ended.err.count("2782123") == 1  # in the example
