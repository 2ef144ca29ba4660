"""Values to bytes and back: the vendor's names, and a reader that nothing a server sends can upset."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mobiz_async import ConfigurationError, MessageStatus, Secret
from mobiz_async.wire import (
    Answer,
    AnswerKind,
    Operation,
    Reply,
    append_request,
    create_list_request,
    format_send_time,
    read,
    trigger_request,
)

TRIGGER_REPLY = {
    "Message_Status": [{"Message_Id": "unique_id", "Status": "SUBMITTED"}],
    "Reference": "unique_message_reference",
    "Result_Code": 3,
    "Result_Description": "Accepted",
}


def answer(value: object, operation: Operation = Operation.TRIGGER, status: int = 200) -> Answer:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return read(operation, Reply(status, {}, body))


# Requests, as the vendor's reference has them


def test_a_trigger_names_its_key_in_the_query() -> None:
    request = trigger_request(Secret("my-key"), b'{"A":"27821234567"}')

    assert request.operation is Operation.TRIGGER
    assert (request.path, request.query, request.body, request.records) == (
        "/TriggerMessage/manual/paths/invoke",
        {"trigger_key": "my-key"},
        b'{"A":"27821234567"}',
        1,
    )


def test_a_schedule_is_a_trigger_with_a_time() -> None:
    request = trigger_request(Secret("my-key"), b"[{},{}]", 2, "1800000000")

    assert request.operation is Operation.SCHEDULE
    assert (request.path, request.query, request.records) == (
        "/TriggerMessage/manual/paths/invoke",
        {"trigger_key": "my-key", "send_time": "1800000000"},
        2,
    )


def test_an_append_names_its_list_in_the_query() -> None:
    request = append_request("142874", b"[{}]", 1)

    assert (request.operation, request.path, request.query) == (
        Operation.APPEND,
        "/customers/CustomerList-append",
        {"list_id": "142874"},
    )


def test_creating_a_list_sends_its_name_and_definition() -> None:
    request = create_list_request("me", "Bulk_Format", {"Number": "msisdn", "Message": "text"})

    assert (request.operation, request.path, request.query, request.records) == (
        Operation.CREATE_LIST,
        "/customers/CustomerList-create",
        {"username": "me"},
        0,
    )
    assert json.loads(request.body) == {
        "Customer List Name": "Bulk_Format",
        "Customer List Definition": {"Number": "msisdn", "Message": "text"},
    }


def test_a_request_and_a_reply_show_neither_query_nor_body() -> None:
    request = trigger_request(Secret("my-key"), b'{"A":"27821234567"}')
    reply = Reply(200, {"x": "27821234567"}, b"27821234567")

    assert "my-key" not in repr(request)
    assert "27821234567" not in repr(request) + repr(reply)


# send_time

NOW = 1_800_000_000.25
LATER = datetime.fromtimestamp(1_800_000_060, UTC)


@pytest.mark.parametrize(
    ("when", "form", "expected"),
    [
        (LATER, "unix", "1800000060"),
        (LATER.astimezone(timezone(timedelta(hours=2))), "unix", "1800000060"),
        (LATER, "iso8601", "2027-01-15T08:01:00Z"),
        (LATER.astimezone(timezone(timedelta(hours=2))), "iso8601", "2027-01-15T08:01:00Z"),
        (LATER, lambda when: f"{when:%d.%m.%Y %H:%M}", "15.01.2027 08:01"),
        ("tomorrow at noon", "unix", "tomorrow at noon"),
        (LATER - timedelta(seconds=0.5), "unix", "1800000060"),
        (LATER - timedelta(seconds=0.5), "iso8601", "2027-01-15T08:01:00Z"),
    ],
)
def test_send_time_takes_the_form_the_client_was_told(when, form, expected: str) -> None:
    assert expected == format_send_time(when, form, NOW)


@pytest.mark.parametrize(
    ("when", "form", "words"),
    [
        (datetime(2027, 1, 15), "unix", "time zone"),  # noqa: DTZ001  a naive one is the point
        (datetime.fromtimestamp(NOW, UTC), "unix", "not in the future"),
        (datetime.fromtimestamp(NOW - 1, UTC), "unix", "not in the future"),
        (LATER, "rfc2822", "send_time_format"),
        ("", "unix", "empty"),
        ("  ", "unix", "empty"),
        ("\ud83d", "unix", "empty"),
        (None, "unix", "datetime"),
        (1_800_000_060, "unix", "datetime"),
        (LATER, lambda when: when.timestamp(), "text"),
    ],
)
def test_a_send_time_that_could_mean_anything_is_refused(when, form, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        format_send_time(when, form, NOW)


@given(st.floats(1e-6, 1e6))
def test_what_is_sent_as_send_time_is_in_the_future(ahead: float) -> None:
    """Whole seconds are rounded up: a part of a second ahead must not become the past."""
    assert int(format_send_time(datetime.fromtimestamp(NOW + ahead, UTC), "unix", NOW)) > NOW


# Replies


def test_a_triggers_reply_is_read_as_documented() -> None:
    found = answer(TRIGGER_REPLY)

    assert (found.kind, found.code, found.message, found.reference, found.messages) == (
        AnswerKind.RESULT,
        3,
        "Accepted",
        "unique_message_reference",
        (MessageStatus("unique_id", "SUBMITTED"),),
    )


def test_fields_nobody_knows_are_kept() -> None:
    value = {**TRIGGER_REPLY, "Cost": 0.25, "Message_Status": [{"Message_Id": "1", "Status": "OK", "Network": "x"}]}

    found = answer(value)

    assert found.raw == value
    assert found.messages[0].extra == {"Network": "x"}


@pytest.mark.parametrize(("given", "expected"), [("m-1", "m-1"), (17, "17"), (None, None), (True, None), (1.5, None)])
def test_a_message_id_is_text_or_a_number_and_never_the_word_none(given: object, expected: str | None) -> None:
    assert answer({"Result_Code": 3, "Message_Status": [{"Message_Id": given}]}).messages[0].message_id == expected


@pytest.mark.parametrize("given", [None, {}, "x", [1], [None], [{"Message_Id": "1"}, "x"]])
def test_statuses_that_are_not_a_list_of_objects_are_no_statuses(given: object) -> None:
    assert answer({"Result_Code": 3, "Message_Status": given}).messages == ()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (3, 3),
        ("3", 3),
        (" 3 ", 3),
        ("-1", -1),
        (0, 0),
        (True, None),
        (3.0, None),
        (None, None),
        ("three", None),
        ("--3", None),
        ("-", None),
        ("9" * 5000, None),
        ([3], None),
    ],
)
def test_a_code_is_a_whole_number_even_as_text(given: object, expected: int | None) -> None:
    assert answer({"Result_Code": given}).code == expected


@pytest.mark.parametrize(
    ("value", "code", "list_id"),
    [
        ({"status": 1, "message": "Data Appended"}, 1, None),
        ({"status": "1", "message": "List Created", "list_id": "142874"}, 1, "142874"),
        ({"status": 1, "list_id": 142874}, 1, "142874"),
        ({"status": 0, "message": "no"}, 0, None),
    ],
)
def test_a_lists_reply_is_read_as_documented(value: dict, code: int, list_id: str | None) -> None:
    found = answer(value, Operation.CREATE_LIST)

    assert (AnswerKind.RESULT, code, list_id) == (found.kind, found.code, found.list_id)


@pytest.mark.parametrize(
    ("operation", "value"),
    [(Operation.APPEND, TRIGGER_REPLY), (Operation.TRIGGER, {"status": 1, "message": "Data Appended"})],
)
def test_a_reply_in_another_operations_fields_proves_nothing(operation: Operation, value: dict) -> None:
    assert answer(value, operation).kind is AnswerKind.OTHER


@pytest.mark.parametrize(
    ("value", "message", "reference"),
    [
        ({"statusCode": 500, "message": "Internal server error", "activityId": "a-1"}, "Internal server error", "a-1"),
        ({"error": {"code": "X", "message": "not valid"}}, "not valid", None),
        ({"error": "flat"}, None, None),
        ({"message": 5}, None, None),
    ],
)
def test_the_gateways_own_json_is_read_leniently(value: dict, message: str | None, reference: str | None) -> None:
    found = answer(value, Operation.APPEND)

    assert (AnswerKind.OTHER, message, reference) == (found.kind, found.message, found.reference)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", AnswerKind.EMPTY),
        (b"  \r\n", AnswerKind.EMPTY),
        (b"<html></html>", AnswerKind.UNREADABLE),
        (b'{"Result_Code": 3', AnswerKind.UNREADABLE),
        (b"[]", AnswerKind.UNREADABLE),
        (b"3", AnswerKind.UNREADABLE),
        (b"\xff\xfe", AnswerKind.UNREADABLE),
        (b"[" * 100_000, AnswerKind.UNREADABLE),
        (b'{"a": 1e999}', AnswerKind.UNREADABLE),
        (b"\xef\xbb\xbf" + json.dumps(TRIGGER_REPLY).encode(), AnswerKind.RESULT),
        (b"{}", AnswerKind.OTHER),
        (b'{"Result_Code": 3, "Result_Code": 0}', AnswerKind.UNREADABLE),
        (b'{"Result_Code": 3, "Result_Code": 3}', AnswerKind.RESULT),
    ],
)
def test_a_body_is_of_one_of_four_kinds(body: bytes, kind: AnswerKind) -> None:
    assert answer(body).kind is kind


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
_names = st.sampled_from(
    ["Result_Code", "Result_Description", "Reference", "Message_Status", "status", "message", "list_id", "error"]
)


@given(
    st.sampled_from(Operation),
    st.binary() | st.dictionaries(_names, _json).map(json.dumps).map(str.encode),
)
@example(Operation.TRIGGER, b'{"Result_Code": "--3"}')
@example(Operation.APPEND, b'{"status": 1, "list_id": ' + b"9" * 5000 + b"}")
@example(Operation.APPEND, b'{"status": 0, "status": -' + b"9" * 5000 + b"}")
@example(Operation.APPEND, b'{"status": 0, "status": ' + b"[" * 900 + b"]" * 900 + b"}")
def test_nothing_a_server_sends_makes_reading_raise(operation: Operation, body: bytes) -> None:
    assert isinstance(answer(body, operation), Answer)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Number 27821234567 is not valid", "Number [number] is not valid"),
        ("Number +27 82 123 4567 is bad", "Number [number] is bad"),
        ("See https://api.mobiz.co/x?api_key=hunter2 now", "See [url] now"),
        ("GET /x?api_key=hunter2", "GET [url]"),
        ("More than 10000 records", "More than 10000 records"),
        ("x" * 500, "x" * 200),
        ("", None),
        (None, None),
    ],
)
def test_what_a_server_says_is_shown_without_numbers_and_urls(said: object, expected: str | None) -> None:
    assert answer({"status": 0, "message": said}, Operation.APPEND).message == expected


@pytest.mark.parametrize("operation", Operation)
def test_triggers_and_schedules_share_one_reply(operation: Operation) -> None:
    assert operation.is_trigger is (operation in (Operation.TRIGGER, Operation.SCHEDULE))


@pytest.mark.parametrize("missing", [{"Status": "SUBMITTED"}, {"Message_Id": "m-1"}, {}])
def test_a_status_may_lack_a_field(missing: dict) -> None:
    (found,) = answer({"Result_Code": 3, "Message_Status": [missing]}).messages

    assert (missing.get("Message_Id"), missing.get("Status")) == (found.message_id, found.status)
