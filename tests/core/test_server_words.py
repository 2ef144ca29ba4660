"""What a server says in words is shown without what it may quote of a record."""

import time

import pytest
from fakes import Network, replied

from mobiz_async import InvalidPayloadError, InvalidRecordError, MobizClient, Reason
from mobiz_async.encoding import encode
from mobiz_async.verdicts import Attempt, Stage, classify
from mobiz_async.wire import Operation, Reply, Request, read


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
        ("number 27,821,234,567 is barred", "number [number] is barred"),
        ("number 27/82/123/4567 is barred", "number [number] is barred"),
        ("number 27_821_234_567 is barred", "number [number] is barred"),
        ("number 27:82:123:4567 is barred", "number [number] is barred"),
        ("number 27'821'234'567 is barred", "number [number] is barred"),
        ("number 27\u00b7821\u00b7234\u00b7567 is barred", "number [number] is barred"),
        ("number 27\u201182\u2011123\u20114567 is barred", "number [number] is barred"),
        ("number 27 \u2013 82 \u2013 123 \u2013 4567 is barred", "number [number] is barred"),
        ("number 2782\u200b123\u200b4567 is barred", "number [number] is barred"),
        ("number [27][82][123][4567] is barred", "number [[number]] is barred"),
        ("More than 100,000 records; 64,000 would do", "More than 100,000 records; 64,000 would do"),
        ("Records 1, 22, 333 and 4, 5, 6, 7 are bad", "Records 1, 22, 333 and 4, 5, 6, 7 are bad"),
        ("Quota will be replenished in 12:34:56.", "Quota will be replenished in 12:34:56."),
    ],
)
def test_words_are_shown_without_what_they_quote(said, shown):
    answer = read(Operation.APPEND, Reply(400, body=encode({"status": 0, "message": said})))
    assert answer.message == shown


def test_a_reference_commands_no_terminal():
    body = {"statusCode": 500, "message": "no", "activityId": "a\x1b]0;owned\x07\nb"}
    assert read(Operation.APPEND, Reply(500, body=encode(body))).reference == r"a\x1b]0;owned\x07 b"


SENT = encode([{"Number": "27821234567"}, {"Number": "+27 83 123-4568"}, {"Number": 27841234569}])


def reference_of(given, status=500, operation=Operation.APPEND):
    names = {"activityId": given, "Reference": given, "Result_Code": 3 if status == 200 else 2}
    attempt = Attempt(Stage.SENT, Reply(status, body=encode(names)))
    judged = classify(operation, attempt, sent=SENT)
    request = Request(operation, "/", {}, SENT)
    return judged.answer.reference if status == 200 else judged.error(request, 1).reference


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("27821234567", "[number]"),
        ("0821234567", "[number]"),
        ("ref-27831234568-1", "ref-[number]"),
        ("+27-84-123-4569", "[number]"),
        (27821234567, "[number]"),
        ("\uff12\uff17821234567", "[number]"),
        ("to:27821234567,27841234569", "to:[number]"),
        ("no number 27999999999 or 'Thandi'", "no number [number] or [quoted]"),
    ],
)
@pytest.mark.parametrize("operation", [Operation.APPEND, Operation.TRIGGER])
def test_an_exceptions_reference_shows_no_number_that_was_sent(given, shown, operation):
    assert reference_of(given, operation=operation) == shown


async def test_so_it_is_with_what_a_client_raises_and_a_run_reports():
    network = Network(lambda request, n: replied(400, {"activityId": "a-27821234567"}))
    async with MobizClient(transport=network) as client:
        with pytest.raises(InvalidPayloadError) as raised:
            await client.append("1", ["27821234567"])
        report = await client.send_bulk("1", ["27821234567"])

    assert raised.value.reference == report.failures[0].error.reference == "a-[number]"


@pytest.mark.parametrize(
    "given", ["142874", "20261123456789", "27829999999", "6f1c0a52-1234-5678-9012-345678901234", "ref-7", "821234"]
)
def test_ids_are_shown_as_they_came_also_those_of_digits(given):
    assert reference_of(given) == given


def test_a_receipts_reference_is_as_it_came():
    assert reference_of("27821234567", 200, Operation.TRIGGER) == "27821234567"


def test_a_number_for_a_field_name_is_not_shown():
    error = InvalidRecordError(1, "082 123 4567", Reason.MISSING)
    assert (error.field, str(error)) == ("[number]", "record 1, field '[number]': missing")


@pytest.mark.parametrize(
    "text",
    [
        *("r" * (1 << 20), "a@" * (1 << 19), "'" * (1 << 20), "\u2018" * (1 << 19), "1 (" * (1 << 18)),
        *("api_key" * (1 << 17), "\x1b" * (1 << 17), "\u202e" * (1 << 17)),  # the latter are longer when written out
    ],
    ids=lambda text: ascii(text[:3]),
)
@pytest.mark.parametrize("field", ["message", "activityId"])
def test_a_long_text_is_looked_at_in_no_time(field, text):
    began = time.thread_time()
    answer = read(Operation.APPEND, Reply(500, body=encode({field: text})))
    assert max(len(answer.message or ""), len(answer.reference or "")) <= 200
    assert time.thread_time() - began < 0.25  # it took hours


def test_what_is_quoted_at_such_length_that_its_end_is_not_looked_at_is_hidden():
    said = "no such record: '" + "Thandiwe " * 1000 + "'"
    answer = read(Operation.APPEND, Reply(400, body=encode({"message": said})))
    assert answer.message == "no such record: [quoted]"
