"""The values: what they hold, refuse, hide and compute."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from mobiz_async import (
    AppendReceipt,
    BatchOutcome,
    BulkReport,
    ChunkOutcome,
    ConfigurationError,
    Credentials,
    DataList,
    MessageStatus,
    MobizError,
    Outcome,
    OutcomeUnknownError,
    RejectedError,
    RetryPolicy,
    Secret,
    Stats,
    StopReason,
    Timeouts,
    TriggerReceipt,
    TriggerReport,
)
from mobiz_async.reports import FirstAndLast


@pytest.mark.parametrize("show", [repr, str, "{}".format, "%s".__mod__, "{!r:>30}".format])
def test_a_secret_never_shows(show) -> None:
    assert "hunter2" not in show(Secret("hunter2"))


def test_a_secret_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Secret("hunter2"))


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy])
def test_a_secret_is_copied_with_what_holds_it(again) -> None:
    """As ``dataclasses.asdict`` does with settings of one's own."""
    secret = Secret("hunter2")

    assert again(secret) is secret
    assert again({"key": secret}) == {"key": secret}


def test_secrets_are_equal_by_their_text() -> None:
    assert {Secret("a"), Secret("a"), Secret("b")} == {Secret("a"), Secret("b")}
    assert Secret("a") != "a"


def test_credentials_take_texts_or_secrets_and_show_neither() -> None:
    credentials = Credentials("hunter2", Secret("hunter3"))

    assert (credentials.api_key.reveal(), credentials.subscription_key.reveal()) == ("hunter2", "hunter3")
    assert "hunter" not in repr(credentials)


@pytest.mark.parametrize("field", ["connect", "read", "upload_stall", "total"])
def test_a_timeout_is_positive(field: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{field} must be "):
        Timeouts(**{field: 0})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_attempts", 0),
        ("deadline", 0),
        ("base", -1),
        ("cap", -1),
        ("throttle_base", -1),
        ("throttle_cap", -1),
        ("max_retry_after", -1),
    ],
)
def test_a_retry_policy_refuses_what_makes_no_sense(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"^{field} must be "):
        RetryPolicy(**{field: value})


@pytest.mark.parametrize("given", [142874, "142874"])
def test_a_list_id_is_held_as_text(given: int | str) -> None:
    assert DataList(given).id == "142874"


@pytest.mark.parametrize("given", [None, True, 1.5, b"1", ["1"]])
def test_a_list_id_that_is_neither_text_nor_a_number_is_refused(given: object) -> None:
    with pytest.raises(ConfigurationError, match="list id"):
        DataList(given)


def test_a_list_survives_pickling_and_copying() -> None:
    contacts = DataList("1", "Spring", {"Number": "msisdn"})

    assert contacts == pickle.loads(pickle.dumps(contacts)) == copy.deepcopy(contacts)


def test_a_list_without_a_definition_survives_pickling() -> None:
    assert DataList("1") == pickle.loads(pickle.dumps(DataList("1")))


def test_a_definition_cannot_be_changed_behind_a_lists_back() -> None:
    given = {"Number": "msisdn"}
    contacts = DataList("1", "Spring", given)
    given["Number"] = "text"

    assert contacts.definition == {"Number": "msisdn"}
    with pytest.raises(TypeError):
        contacts.definition["Number"] = "text"


@pytest.mark.parametrize(
    "definition", [{"Number": "phone"}, {"": "text"}, {1: "text"}, "text", [("Number", "msisdn")], 7]
)
def test_a_definition_has_the_four_formats_and_named_fields(definition: Any) -> None:
    with pytest.raises(ConfigurationError):
        DataList("1", "Spring", definition)


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        (None, None),
        ({"Name": "text"}, None),
        ({"Name": "text", "Cell": "msisdn", "Number": "msisdn"}, "Cell"),
    ],
)
def test_the_number_field_is_the_first_msisdn(definition: dict | None, expected: str | None) -> None:
    assert DataList("1", None, definition).number_field == expected


ONE = (MessageStatus("m-1", "SUBMITTED"),)
TWO = (MessageStatus("m-1"), MessageStatus("m-2"))


@pytest.mark.parametrize(
    ("messages", "count", "expected"),
    [(ONE, 1, "m-1"), ((), 1, None), (TWO, 1, None), (TWO, 2, None), (ONE, 2, None)],
)
def test_the_message_id_is_known_for_one_object_with_one_status(messages, count, expected) -> None:
    assert TriggerReceipt(messages=messages, count=count).message_id == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["SUBMITTED"], True),
        (["SUBMITTED", " submitted "], True),
        (["SUBMITTED", "FAILED"], False),
        (["SUBMITTED", None, "FAILED"], False),
        (["SUBMITTED", None], None),
        ([], None),
        ([""], False),
    ],
)
def test_a_word_other_than_the_documented_one_is_seen(words, expected) -> None:
    receipt = TriggerReceipt(messages=tuple(MessageStatus("m", word) for word in words), count=len(words))

    assert receipt.submitted is expected


def test_the_part_of_a_receipt_is_one_objects_own() -> None:
    receipt = TriggerReceipt("ref", 3, "Accepted", TWO, 2)

    assert [receipt.part(0).message_id, receipt.part(1).message_id] == ["m-1", "m-2"]


def test_the_part_of_a_receipt_has_no_id_when_the_lengths_disagree() -> None:
    assert TriggerReceipt("ref", 3, "Accepted", ONE, 2).part(0).message_id is None


def test_the_books_must_balance() -> None:
    with pytest.raises(AssertionError, match="read 5, settled 4"):
        BulkReport(read=5, accepted=3, skipped=1)


@pytest.mark.parametrize(
    ("report", "ok"),
    [
        (BulkReport(), True),
        (BulkReport(read=2, accepted=1, skipped=1), True),
        (BulkReport(read=2, accepted=2, stopped=StopReason.ASKED), False),
        (BulkReport(read=1, unknown=1), False),
        (BulkReport(read=1, rejected=1), False),
        (BulkReport(read=1, not_sent=1), False),
    ],
)
def test_a_report_is_ok_when_all_was_read_and_accepted_or_skipped(report: BulkReport, ok: bool) -> None:
    assert report.ok is ok


def test_a_report_that_is_ok_raises_nothing() -> None:
    assert BulkReport(read=1, accepted=1).raise_for_failures() is None


def test_a_report_raises_what_stopped_the_run() -> None:
    error = RejectedError("no")
    other = ChunkOutcome(0, 1, 1, Outcome.UNKNOWN, error=OutcomeUnknownError("perhaps"))
    report = BulkReport(read=1, unknown=1, failures=(other,), stopped=StopReason.REJECTED, error=error)

    with pytest.raises(RejectedError) as raised:
        report.raise_for_failures()

    assert raised.value is error
    assert error.report is report


def test_a_report_raises_the_first_failed_chunks_error() -> None:
    chunks = (
        ChunkOutcome(0, 1, 1, Outcome.NOT_SENT),
        ChunkOutcome(1, 2, 1, Outcome.UNKNOWN, error=OutcomeUnknownError("perhaps")),
    )

    with pytest.raises(OutcomeUnknownError):
        BulkReport(read=2, not_sent=1, unknown=1, failures=chunks).raise_for_failures()


def test_a_report_of_a_stopped_run_raises_even_without_an_error() -> None:
    with pytest.raises(MobizError, match=r"ended early: stop\(\) was called"):
        BulkReport(stopped=StopReason.ASKED).raise_for_failures()


def test_stats_count_by_outcome() -> None:
    stats = Stats()
    for outcome in Outcome:
        stats.count(outcome, 2)

    assert (stats.accepted, stats.rejected, stats.not_sent, stats.unknown) == (2, 2, 2, 2)


def test_the_first_and_the_last_are_kept_and_all_are_counted() -> None:
    kept = FirstAndLast(2)
    for index in range(10):
        kept.add(ChunkOutcome(index, index, 1, Outcome.UNKNOWN))

    assert (kept.total, [chunk.index for chunk in kept.kept()]) == (10, [0, 1, 8, 9])


def test_a_chunk_gives_its_records_with_their_rows() -> None:
    chunk = ChunkOutcome(0, 3, 3, Outcome.UNKNOWN, runs=((3, 2), (9, 1)), body=b'[{"N":1},{"N":2},{"N":3}]')

    assert list(chunk.records()) == [(3, {"N": 1}), (4, {"N": 2}), (9, {"N": 3})]


def test_a_chunk_without_its_body_gives_no_records() -> None:
    assert list(ChunkOutcome(0, 3, 3, Outcome.UNKNOWN, runs=((3, 3),)).records()) == []


def test_a_chunk_shows_no_record() -> None:
    assert "2782" not in repr(ChunkOutcome(0, 1, 1, Outcome.UNKNOWN, body=b'[{"Number":"27821234567"}]'))


def batch(outcome: Outcome, count: int = 2, **more) -> BatchOutcome:
    return BatchOutcome(0, 1, count, outcome, **more)


def test_the_totals_of_a_trigger_report_are_those_of_its_batches() -> None:
    report = TriggerReport(tuple(batch(outcome, n) for n, outcome in enumerate(Outcome, 1)))

    assert (report.read, report.accepted, report.rejected, report.not_sent, report.unknown) == (10, 1, 2, 3, 4)
    assert not report.ok


def test_message_ids_are_one_for_each_object_and_none_where_they_are_not_known() -> None:
    report = TriggerReport(
        (
            batch(Outcome.ACCEPTED, receipt=TriggerReceipt(messages=TWO, count=2)),
            batch(Outcome.UNKNOWN),
            batch(Outcome.ACCEPTED, receipt=TriggerReceipt(messages=ONE, count=2)),
        )
    )

    assert report.message_ids == ("m-1", "m-2", None, None, None, None)


def test_a_trigger_report_raises_the_first_error() -> None:
    report = TriggerReport((batch(Outcome.ACCEPTED), batch(Outcome.UNKNOWN, error=OutcomeUnknownError("perhaps"))))

    with pytest.raises(OutcomeUnknownError):
        report.raise_for_failures()


def test_a_trigger_report_without_errors_raises_nothing() -> None:
    report = TriggerReport((batch(Outcome.ACCEPTED),))

    assert (report.ok, report.raise_for_failures()) == (True, None)


@pytest.mark.parametrize(
    "value",
    [
        TriggerReceipt(raw={"secret": "27821234567"}),
        AppendReceipt(1, raw={"secret": "27821234567"}),
        MessageStatus("id", "ok", {"secret": "27821234567"}),
    ],
)
def test_what_the_api_sent_along_is_kept_and_not_shown(value: object) -> None:
    assert "27821234567" not in repr(value)
