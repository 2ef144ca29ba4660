"""What a ``FakeTransport`` answers with: the documented replies, the gateway's, and the failures that have none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from mobiz_async.models import ResultCode
from mobiz_async.verdicts import Attempt, Failure, Stage
from mobiz_async.wire import Operation, Reply

__all__ = [
    "Hold",
    "PostedRequest",
    "accepted",
    "json_reply",
    "lost",
    "no_connection",
    "quota_exceeded",
    "rejected",
    "server_error",
    "throttled",
    "timeout",
    "unauthorized",
]

_FIRST_LIST_ID = 142_874


@attrs.frozen
class PostedRequest:
    """One POST as the fake saw it, without the credentials. ``number`` counts from 1."""

    number: int
    operation: Operation
    query: Mapping[str, str] = attrs.field(repr=False)
    """``trigger_key`` and ``send_time``, ``list_id``, or ``username``."""
    records: tuple[Any, ...] = attrs.field(repr=False)
    """The decoded objects: one for a single trigger, the definition for ``create_list``."""
    body: bytes = attrs.field(repr=False)


@attrs.frozen
class Hold:
    """Gets as far as ``stage`` and answers ``then`` when ``FakeTransport.release`` is called; None: as usual.

    When the transport is closed first, the connection is lost; when the caller is cancelled, it is cancelled there.
    """

    stage: Stage = Stage.SENT
    then: Attempt | Reply | None = None


def json_reply(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a reply with ``value`` as its JSON body; header names are lower case."""
    return Reply(status, {"content-type": "application/json", **(headers or {})}, json.dumps(value).encode())


def accepted(request: PostedRequest) -> Reply:
    """Answer as documented: a message id for each posted object, ``status`` 1, or a fresh list id."""
    match request.operation:
        case Operation.TRIGGER | Operation.SCHEDULE:
            messages = [
                {"Message_Id": f"message-{request.number}-{position}", "Status": "SUBMITTED"}
                for position in range(1, len(request.records) + 1)
            ]
            return json_reply(
                200,
                {
                    "Message_Status": messages,
                    "Reference": f"reference-{request.number}",
                    "Result_Code": int(ResultCode.ACCEPTED),
                    "Result_Description": "Accepted",
                },
            )
        case Operation.APPEND:
            return json_reply(200, {"status": 1, "message": "Data Appended"})
        case Operation.CREATE_LIST:
            list_id = str(_FIRST_LIST_ID + request.number - 1)
            return json_reply(200, {"status": 1, "message": "List Created", "list_id": list_id})


def rejected(code: ResultCode | int = ResultCode.INVALID_CUSTOMER, *, status: int = 200) -> Reply:
    """Say no in the API's own fields, for triggers (``Result_Code``) and lists (``status`` 0) alike."""
    return json_reply(status, {"Result_Code": int(code), "Result_Description": "Rejected", "status": 0})


def unauthorized() -> Reply:
    """Refuse the subscription key, as the gateway does."""
    return json_reply(401, {"statusCode": 401, "message": "Access denied due to invalid subscription key."})


def throttled(retry_after: float | None = 1) -> Reply:
    """Answer 429, with ``retry_after`` seconds as its ``Retry-After``, or without one where that is None."""
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return json_reply(429, {"statusCode": 429, "message": "Rate limit is exceeded."}, headers)


def quota_exceeded(retry_after: float = 3600) -> Reply:
    """Answer 403 as the gateway does when the call volume is used up, for ``retry_after`` seconds more."""
    words = "Out of call volume quota. Quota will be replenished later."
    return json_reply(403, {"statusCode": 403, "message": words}, {"retry-after": f"{retry_after:g}"})


def server_error(status: int = 500) -> Reply:
    """Answer with a 5xx: nobody knows whether it was applied."""
    return json_reply(status, {"statusCode": status, "message": "Internal server error", "activityId": "fake"})


def no_connection() -> Attempt:
    """Fail before a byte went out: provably not sent."""
    return Attempt(Stage.CONNECTING, failure=Failure.CONNECT)


def timeout(stage: Stage = Stage.SENT) -> Attempt:
    """Run into the timeout at ``stage``; from ``SENDING`` on the outcome is unknown."""
    return Attempt(stage, failure=Failure.TIMEOUT if stage >= Stage.SENDING else Failure.CONNECT_TIMEOUT)


def lost(stage: Stage = Stage.SENT) -> Attempt:
    """Lose the connection at ``stage``, before an answer came."""
    return Attempt(stage, failure=Failure.DISCONNECTED)
