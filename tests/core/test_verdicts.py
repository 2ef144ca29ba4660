"""The verdict table, row by row: what each answer and each failure proves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest
from fakes import failed, replied
from hypothesis import example, given
from hypothesis import strategies as st

from mobiz_async import errors
from mobiz_async.errors import MobizError, OutcomeUnknownError, RequestError
from mobiz_async.models import Outcome, Secret
from mobiz_async.verdicts import ANSWERS, FAILURES, Attempt, Failure, Stage, Verdict, classify, retry_after
from mobiz_async.wire import Operation, Reply, append_request, trigger_request

TRIGGER, APPEND, CREATE = Operation.TRIGGER, Operation.APPEND, Operation.CREATE_LIST
CREATED = {"status": 1, "message": "List Created", "list_id": "142874"}
APPENDED = {"status": 1, "message": "Data Appended"}
HTML = b"<html>Sign in</html>"

ANSWERED: list[tuple[str, Operation, Attempt, Verdict]] = [
    ("result 3", TRIGGER, replied(200, {"Result_Code": 3}), Verdict.ACCEPTED),
    ("result 3", Operation.SCHEDULE, replied(200, {"Result_Code": "3"}), Verdict.ACCEPTED),
    ("result 3", TRIGGER, replied(500, {"Result_Code": 3}), Verdict.ACCEPTED),
    ("result 0", TRIGGER, replied(200, {"Result_Code": 0}), Verdict.AUTH_FAILED),
    ("result 1", TRIGGER, replied(200, {"Result_Code": 1}), Verdict.ENGAGEMENT_NOT_FOUND),
    ("result 1", TRIGGER, replied(404, {"Result_Code": 1}), Verdict.ENGAGEMENT_NOT_FOUND),
    ("result 2", TRIGGER, replied(200, {"Result_Code": 2}), Verdict.INVALID_PAYLOAD),
    ("result 4", TRIGGER, replied(400, {"Result_Code": 4}), Verdict.MISSING_FIELDS),
    ("status 1", APPEND, replied(200, APPENDED), Verdict.ACCEPTED),
    ("status 1", APPEND, replied(201, {"status": "1"}), Verdict.ACCEPTED),
    ("status 1", APPEND, replied(200, b'{"status": 1, "status": "1"}'), Verdict.ACCEPTED),
    ("status 1", APPEND, replied(200, {"status": 1, "list": {"status": 0}, "message": "status"}), Verdict.ACCEPTED),
    ("status 1", APPEND, replied(200, b'{"status": 1, "message": "no", "message": "yes"}'), Verdict.ACCEPTED),
    ("status 1", CREATE, replied(200, CREATED), Verdict.ACCEPTED),
    ("401", APPEND, replied(401, {"statusCode": 401, "message": "Access denied"}), Verdict.AUTH_FAILED),
    ("401", APPEND, replied(401, {"status": 0}), Verdict.AUTH_FAILED),
    ("401", TRIGGER, replied(401), Verdict.AUTH_FAILED),
    ("429", APPEND, replied(429, None, retry_after="1"), Verdict.THROTTLED),
    ("429", APPEND, replied(429, {"status": 0}), Verdict.THROTTLED),
    ("403 quota", APPEND, replied(403, None, retry_after="86400"), Verdict.QUOTA),
    ("403 quota", APPEND, replied(403, {"message": "Out of call volume quota."}), Verdict.QUOTA),
    ("403", APPEND, replied(403, {"message": "Forbidden"}), Verdict.AUTH_FAILED),
    ("403", APPEND, replied(403, None, retry_after=""), Verdict.AUTH_FAILED),
    ("413", APPEND, replied(413), Verdict.TOO_LARGE),
    ("400, 422", APPEND, replied(400, {"status": 0, "message": "bad"}), Verdict.INVALID_PAYLOAD),
    ("400, 422", TRIGGER, replied(422, HTML), Verdict.INVALID_PAYLOAD),
    ("status not 1", APPEND, replied(200, {"status": 0, "message": "no"}), Verdict.REFUSED),
    ("404, 405", CREATE, replied(404, {"status": 0}), Verdict.MISDIRECTED),
    ("status not 1", APPEND, replied(200, {"status": 404, "title": "No such list"}), Verdict.REFUSED),
    ("status not 1", APPEND, replied(200, {"status": 99}), Verdict.REFUSED),
    ("status not 1", APPEND, replied(200, {"status": 400}), Verdict.REFUSED),
    ("202 empty", TRIGGER, replied(202), Verdict.ACCEPTED),
    ("404, 405", APPEND, replied(404, {"statusCode": 404, "message": "Resource not found"}), Verdict.MISDIRECTED),
    ("404, 405", TRIGGER, replied(405), Verdict.MISDIRECTED),
    ("307, 308", APPEND, replied(307), Verdict.MISDIRECTED),
    ("307, 308", TRIGGER, replied(308), Verdict.MISDIRECTED),
    ("307, 308", APPEND, replied(307, {"status": 0}), Verdict.MISDIRECTED),
    ("other 3xx", APPEND, replied(301), Verdict.REDIRECTED),
    ("other 3xx", APPEND, replied(302, HTML), Verdict.REDIRECTED),
    ("other 3xx", APPEND, replied(302, {"status": 302}), Verdict.REDIRECTED),
    ("other 3xx", APPEND, replied(302, {"status": 0}), Verdict.REDIRECTED),
    ("other 3xx", CREATE, replied(303, {"status": 404}), Verdict.REDIRECTED),
    ("other 3xx", APPEND, replied(300), Verdict.REDIRECTED),
    ("other 3xx", APPEND, replied(399), Verdict.REDIRECTED),
    ("503 with Retry-After", APPEND, replied(503, None, retry_after="5"), Verdict.THROTTLED),
    ("503 with Retry-After", APPEND, replied(503, None, retry_after="21 Oct 2015 07:28 GMT"), Verdict.THROTTLED),
    ("408, 499", APPEND, replied(408), Verdict.SERVER_ERROR),
    ("408, 499", APPEND, replied(499), Verdict.SERVER_ERROR),
    ("408, 499", APPEND, replied(408, {"status": 408, "title": "Request Timeout"}), Verdict.SERVER_ERROR),
    ("408, 499", APPEND, replied(499, {"status": 499}), Verdict.SERVER_ERROR),
    ("408, 499", APPEND, replied(408, None, retry_after="5"), Verdict.SERVER_ERROR),
    ("408, 499", APPEND, replied(408, {"status": 0, "message": "timed out"}), Verdict.SERVER_ERROR),
    ("408, 499", CREATE, replied(499, {"status": 0}), Verdict.SERVER_ERROR),
    ("status not 1", APPEND, replied(202, {"status": 0}), Verdict.REFUSED),
    ("status not 1", APPEND, replied(409, {"status": 0}), Verdict.REFUSED),
    ("other 4xx", APPEND, replied(415), Verdict.REFUSED),
    ("other 4xx", TRIGGER, replied(409, {"error": {"message": "conflict"}}), Verdict.REFUSED),
    ("5xx", APPEND, replied(500, {"statusCode": 500, "activityId": "a"}), Verdict.SERVER_ERROR),
    ("5xx", APPEND, replied(502, HTML), Verdict.SERVER_ERROR),
    ("5xx", APPEND, replied(503), Verdict.SERVER_ERROR),
    ("5xx", APPEND, replied(503, None, retry_after=""), Verdict.SERVER_ERROR),
    ("5xx", APPEND, replied(503, None, retry_after="soon"), Verdict.SERVER_ERROR),
    ("5xx", TRIGGER, replied(503, None, retry_after="inf"), Verdict.SERVER_ERROR),
    ("5xx", APPEND, replied(500, {"status": 500, "error": "Internal"}), Verdict.SERVER_ERROR),
    ("5xx", APPEND, replied(500, {"status": 0}), Verdict.SERVER_ERROR),
    ("5xx", APPEND, replied(502, {"status": 404}), Verdict.SERVER_ERROR),
    ("5xx", APPEND, replied(500, None, retry_after="5"), Verdict.SERVER_ERROR),
    ("5xx", TRIGGER, replied(504, HTML, retry_after="5"), Verdict.SERVER_ERROR),
    ("anything else", APPEND, replied(200), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(202), Verdict.UNREADABLE),
    ("anything else", TRIGGER, replied(200), Verdict.UNREADABLE),
    ("anything else", TRIGGER, replied(202, HTML), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(200, HTML), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(200, {"result": "ok"}), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(200, b'{"status": 1'), Verdict.UNREADABLE),
    ("anything else", TRIGGER, replied(200, {"Result_Code": 7}), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(200, b'{"status": 0, "status": 1}'), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(200, b'{"status": 1, "status": 0}'), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(200, b'{"status": null, "status": "1"}'), Verdict.UNREADABLE),
    ("anything else", TRIGGER, replied(200, b'{"Result_Code": 0, "Result_Code": 3}'), Verdict.UNREADABLE),
    ("anything else", TRIGGER, replied(200, b'{"Result_Code": 3, "Result_Code": 2}'), Verdict.UNREADABLE),
    ("anything else", CREATE, replied(200, {"status": 1}), Verdict.UNREADABLE),
    ("anything else", CREATE, replied(200, {"status": 1, "list_id": ""}), Verdict.UNREADABLE),
    ("anything else", TRIGGER, replied(200, {"status": 1}), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(200, {"Result_Code": 3}), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(101), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(200, {"status": 200, "message": "OK"}), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(202, {"status": 202}), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(200, {"status": 504, "title": "Gateway Timeout"}), Verdict.UNREADABLE),
    ("anything else", CREATE, replied(200, {"status": 408}), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(200, {"status": 100}), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(200, {"status": 399}), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(200, {"status": 499}), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(200, {"status": 500}), Verdict.UNREADABLE),
    ("anything else", APPEND, replied(200, HTML, retry_after="5"), Verdict.UNREADABLE),
]

FAILED: list[tuple[str, Attempt, Verdict]] = [
    ("queued", failed(Stage.QUEUED, Failure.STOPPED), Verdict.NOT_STARTED),
    ("queued", failed(Stage.QUEUED, Failure.CANCELLED), Verdict.NOT_STARTED),
    ("connecting", failed(Stage.CONNECTING, Failure.CONNECT), Verdict.CONNECT_FAILED),
    ("connecting", failed(Stage.CONNECTING, Failure.TIMEOUT), Verdict.CONNECT_FAILED),
    ("connecting", failed(Stage.CONNECTING, Failure.OTHER), Verdict.CONNECT_FAILED),
    ("handed over", failed(Stage.SENDING, Failure.CONNECT), Verdict.NO_ANSWER),
    ("handed over", failed(Stage.SENDING, Failure.UPLOAD_STALLED), Verdict.NO_ANSWER),
    ("handed over", failed(Stage.SENT, Failure.GARBAGE), Verdict.NO_ANSWER),
    ("handed over", failed(Stage.SENT, Failure.TRUNCATED), Verdict.NO_ANSWER),
    ("handed over", failed(Stage.SENT, Failure.CANCELLED), Verdict.NO_ANSWER),
]


@pytest.mark.parametrize(("row", "operation", "attempt", "verdict"), ANSWERED)
def test_an_answer_proves_what_its_row_says(row: str, operation: Operation, attempt: Attempt, verdict: Verdict) -> None:
    judged = classify(operation, attempt)

    assert (row, verdict) == (judged.row, judged.verdict)


@pytest.mark.parametrize(("row", "attempt", "verdict"), FAILED)
@pytest.mark.parametrize("operation", Operation)
def test_a_failure_proves_what_its_stage_says(row: str, operation, attempt: Attempt, verdict: Verdict) -> None:
    judged = classify(operation, attempt)

    assert (row, verdict) == (judged.row, judged.verdict)


def test_every_row_is_tested_by_its_name_and_names_are_unique() -> None:
    assert sorted({row for row, *_ in ANSWERED}) == sorted(row.name for row in ANSWERS)
    assert sorted({row for row, *_ in FAILED}) == sorted(row.name for row in FAILURES)


def test_every_row_says_why() -> None:
    assert all(row.why for row in ANSWERS + FAILURES)


def test_every_verdict_is_reached_by_a_row() -> None:
    assert {row.verdict for row in ANSWERS + FAILURES} == set(Verdict)


def test_what_no_row_knows_is_unknown() -> None:
    assert {ANSWERS[-1].verdict.outcome, FAILURES[-1].verdict.outcome} == {Outcome.UNKNOWN}


@given(
    st.sampled_from(Operation),
    st.integers(100, 599),
    st.binary(max_size=30) | st.sampled_from([b"{}", b'{"status": 0}', b'{"status": 7}', b'{"Result_Code": 2}']),
    st.booleans(),
)
def test_nothing_is_accepted_or_not_sent_that_does_not_say_so(
    operation, status: int, body: bytes, throttled: bool
) -> None:
    """Only a documented success, or a trigger's empty 202, is an acceptance; only a gateway that turns away says no."""
    reply = Reply(status, {"retry-after": "1"} if throttled else {}, body)

    outcome = classify(operation, Attempt(Stage.SENT, reply)).verdict.outcome

    assert (outcome is Outcome.ACCEPTED) is (operation.is_trigger and status == 202 and not body.strip())
    assert outcome is not Outcome.NOT_SENT or status == 429 or (throttled and status in {403, 503})


@given(st.sampled_from(Operation), st.integers(500, 599), st.binary(max_size=30))
def test_a_server_error_is_never_proof_that_nothing_happened(operation, status: int, body: bytes) -> None:
    assert classify(operation, Attempt(Stage.SENT, Reply(status, {}, body))).verdict.outcome is Outcome.UNKNOWN


@given(st.sampled_from(Operation), st.sampled_from([Stage.SENDING, Stage.SENT]), st.sampled_from(Failure))
def test_once_a_byte_is_out_no_failure_is_proof(operation, stage: Stage, failure: Failure) -> None:
    assert classify(operation, Attempt(stage, failure=failure)).verdict.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("verdict", Verdict)
def test_each_verdicts_exception_lies_on_its_outcomes_branch(verdict: Verdict) -> None:
    branch = {
        Outcome.ACCEPTED: type(None),
        Outcome.REJECTED: errors.RejectedError,
        Outcome.NOT_SENT: errors.NotSentError,
        Outcome.UNKNOWN: OutcomeUnknownError,
    }[verdict.outcome]

    assert (verdict.error is None) if verdict is Verdict.ACCEPTED else issubclass(verdict.error, branch)


def test_every_request_error_is_some_verdicts_exception() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RequestError)}

    assert kinds - {verdict.error for verdict in Verdict} == {RequestError}


def test_only_a_definite_refusal_of_a_whole_body_can_be_split() -> None:
    assert {verdict for verdict in Verdict if verdict.splittable} == {Verdict.INVALID_PAYLOAD, Verdict.TOO_LARGE}


# The exceptions made of verdicts


def raised(operation: Operation, attempt: Attempt, attempts: int = 2) -> RequestError:
    request = append_request("1", b"[]", 1) if operation is APPEND else trigger_request(Secret("key"), b"{}")
    return classify(operation, attempt).error(request, attempts)


def test_an_exception_says_what_was_answered() -> None:
    error = raised(TRIGGER, replied(400, {"Result_Code": 2, "Result_Description": "bad JSON", "Reference": "ref-7"}))

    assert isinstance(error, errors.InvalidPayloadError)
    assert vars(error) == {
        "operation": "TriggerMessage",
        "status": 400,
        "attempts": 2,
        "result_code": 2,
        "reference": "ref-7",
        "retry_after": None,
    }
    assert str(error) == "TriggerMessage: rejected (HTTP 400: bad JSON)"


@pytest.mark.parametrize(
    ("attempt", "expected"),
    [
        (
            failed(Stage.SENT, Failure.DISCONNECTED),
            "outcome unknown; it may have been applied (the connection was lost",
        ),
        (failed(Stage.CONNECTING, Failure.CONNECT), "not sent (no connection could be made"),
        (replied(502, HTML), "outcome unknown; it may have been applied (HTTP 502)"),
        (replied(429, {"message": "Rate limit is exceeded."}), "not sent (HTTP 429: Rate limit is exceeded.)"),
        (failed(Stage.QUEUED, None), "SendBulkMessages: not sent"),
    ],
)
def test_an_exception_says_in_words_what_is_known(attempt: Attempt, expected: str) -> None:
    assert expected in str(raised(APPEND, attempt))


def test_an_exception_of_a_throttled_answer_says_how_long() -> None:
    assert raised(APPEND, replied(429, None, retry_after="7")).retry_after == 7.0


def test_a_status_under_which_no_code_was_meant_is_no_result_code() -> None:
    assert raised(APPEND, replied(500, {"statusCode": 500})).result_code is None


def test_what_a_gateway_quotes_back_is_not_in_the_exception() -> None:
    error = raised(APPEND, replied(400, {"status": 0, "message": "27821234567 at https://x/?api_key=k"}))

    assert str(error) == "SendBulkMessages: rejected (HTTP 400: [number] at [url])"


# Retry-After

NOW = 1_800_000_000.0


@pytest.fixture
def not_in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose own time is another."""
    with monkeypatch.context() as there:
        there.setenv("TZ", "Africa/Johannesburg")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        ("0", 0.0),
        ("1", 1.0),
        (" 2.5 ", 2.5),
        ("-3", 0.0),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("soon", None),
        ("Fri, 32 Foo 2027 99:99:99 GMT", None),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        (formatdate(NOW + 90), 90.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, expected: float | None, not_in_utc: None) -> None:
    headers: dict[str, Any] = {} if text is None else {"retry-after": text}

    assert retry_after(Reply(429, headers), NOW) == expected


@given(st.text())
@example("Mon, 01 Jan 2024 00:00:00 +99999999999999999999")
@example("Mon, 01 Jan 99999 00:00:00 GMT")
@example("0001-01-01")
def test_no_retry_after_makes_reading_raise(text: str) -> None:
    found = retry_after(Reply(429, {"retry-after": text}), NOW)

    assert found is None or found >= 0


def test_a_date_in_retry_after_is_read_by_the_clock_that_is_handed_in() -> None:
    attempt = replied(429, None, retry_after=formatdate(NOW + 5, usegmt=True))

    assert classify(APPEND, attempt, now=NOW).retry_after == 5.0


@pytest.mark.parametrize("wrong_by", [-7200.0, 7200.0])
@pytest.mark.parametrize(("date", "expected"), [(formatdate(NOW, usegmt=True), 5.0), ("soon", None)])
def test_it_is_measured_by_the_servers_own_clock_where_the_reply_tells_it(
    wrong_by: float, date: str, expected: float | None
) -> None:
    """A clock that is ten minutes slow would make ten minutes of silence of five seconds."""
    reply = Reply(429, {"retry-after": formatdate(NOW + 5, usegmt=True), "date": date})

    found = retry_after(reply, NOW + wrong_by)

    assert found == (max(0.0, 5.0 - wrong_by) if expected is None else expected)


def test_an_exception_of_ours_is_what_a_judged_attempt_gives() -> None:
    assert all(isinstance(raised(TRIGGER, attempt), MobizError) for _, attempt, _ in FAILED)
