"""What a server says in words is shown without what it may quote of a record."""

import time

import pytest

from mobiz_async import InvalidRecordError, Reason
from mobiz_async.encoding import encode
from mobiz_async.wire import Operation, Reply, read


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Invalid value 'Thandi' for Firstname", "Invalid value [quoted] for Firstname"),
        ('"Hello Sipho" is too long', "[quoted] is too long"),
        ("no such person: thandi@example.com", "no such person: [address]"),
        ("number +27 82 123 4567 is barred", "number [number] is barred"),
        ("see https://example.com/?api_key=k for help", "see [url] for help"),
        ("Can't find it; don't retry", "Can't find it; don't retry"),
        ("Rate limit is exceeded. Try again in 5 seconds.", "Rate limit is exceeded. Try again in 5 seconds."),
        ("\x1b[2Jall\r\nwell\x00\x7f\x9b", r"\x1b[2Jall well\x00\x7f\x9b"),
        ("see \x1b]8;;https://example.com\x07", "see [url]"),
        ("number 2782\n1234567", "number [number]"),
    ],
)
def test_words_are_shown_without_what_they_quote(said, shown):
    answer = read(Operation.APPEND, Reply(400, body=encode({"status": 0, "message": said})))
    assert answer.message == shown


def test_a_reference_commands_no_terminal():
    body = {"statusCode": 500, "message": "no", "activityId": "a\x1b]0;owned\x07\nb"}
    assert read(Operation.APPEND, Reply(500, body=encode(body))).reference == r"a\x1b]0;owned\x07 b"


def test_a_number_for_a_field_name_is_not_shown():
    error = InvalidRecordError(1, "082 123 4567", Reason.MISSING)
    assert (error.field, str(error)) == ("[number]", "record 1, field '[number]': missing")


@pytest.mark.parametrize(
    "text", ["r" * (1 << 20), "a@" * (1 << 19), "'" * (1 << 20), "\u2018" * (1 << 19), "1 (" * (1 << 18)], ids=len
)
@pytest.mark.parametrize("field", ["message", "activityId"])
def test_a_long_text_is_looked_at_in_no_time(field, text):
    began = time.perf_counter()
    answer = read(Operation.APPEND, Reply(500, body=encode({field: text})))
    assert max(len(answer.message or ""), len(answer.reference or "")) <= 200
    assert time.perf_counter() - began < 2.0  # it took hours


def test_what_is_quoted_at_such_length_that_its_end_is_not_looked_at_is_hidden():
    said = "no such record: '" + "Thandiwe " * 1000 + "'"
    answer = read(Operation.APPEND, Reply(400, body=encode({"message": said})))
    assert answer.message == "no such record: [quoted]"
