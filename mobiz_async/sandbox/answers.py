"""What the documented API and the gateway in front of it answer, as values."""

from __future__ import annotations

import email.utils
import json
import math
from collections.abc import Mapping
from typing import Any

import attrs

from mobiz_async.models import ResultCode

__all__ = ["Answer", "created", "gateway", "list_answer", "quota", "throttled", "trigger_answer", "unauthorized"]

_JSON = "application/json; charset=utf-8"

DESCRIPTIONS: Mapping[ResultCode, str] = {
    ResultCode.AUTH_FAILED: "API access key failed to authenticate",
    ResultCode.ENGAGEMENT_NOT_FOUND: "Engagement not found for the trigger key",
    ResultCode.INVALID_CUSTOMER: "Customer Data not in valid JSON format",
    ResultCode.ACCEPTED: "Accepted",
    ResultCode.MISSING_VARS: "Missing some of the required parameters",
}
"""Vendor's reference, the table of result codes."""

STATUSES: Mapping[ResultCode, int] = {
    ResultCode.AUTH_FAILED: 401,
    ResultCode.ENGAGEMENT_NOT_FOUND: 404,
    ResultCode.INVALID_CUSTOMER: 400,
    ResultCode.ACCEPTED: 200,
    ResultCode.MISSING_VARS: 400,
}
"""The HTTP status of each result code is not documented; these are what a careful server would choose."""


@attrs.frozen
class Answer:
    """One HTTP answer. ``retry_after`` (seconds) is what its Retry-After header says."""

    status: int
    body: bytes = b""
    content_type: str = _JSON
    headers: Mapping[str, str] = attrs.field(factory=dict)
    retry_after: float | None = None

    def under(self, status: int | None) -> Answer:
        """Return the answer with another HTTP status, where one is given."""
        return self if status is None else attrs.evolve(self, status=status)


def _json(status: int, value: Any, **headers: str) -> Answer:
    return Answer(
        status,
        json.dumps(value, ensure_ascii=False).encode(),
        headers={name.replace("_", "-"): text for name, text in headers.items()},
    )


def gateway(status: int, message: str, **more: str) -> Answer:
    """Return the gateway's own JSON: ``{"statusCode": N, "message": ...}``."""
    return _json(status, {"statusCode": status, "message": message, **more})


def unauthorized(host: str, *, missing: bool) -> Answer:
    """Return Azure API Management's 401 for a subscription key that is missing or invalid."""
    text = (
        "Access denied due to missing subscription key. Make sure to include subscription key when making requests "
        "to an API."
        if missing
        else "Access denied due to invalid subscription key. Make sure to provide a valid key for an active "
        "subscription."
    )
    challenge = f'AzureApiManagementKey realm="{host}",name="Ocp-Apim-Subscription-Key",type="header"'
    return attrs.evolve(gateway(401, text), headers={"WWW-Authenticate": challenge})


def throttled(seconds: float) -> Answer:
    """Return the gateway's 429 with Retry-After in whole seconds, rounded up."""
    whole = math.ceil(seconds)
    answer = gateway(429, f"Rate limit is exceeded. Try again in {whole} seconds.")
    return attrs.evolve(answer, headers={"Retry-After": str(whole)}, retry_after=whole)


def throttled_until(wall: float, seconds: float) -> Answer:
    """Return a 429 whose Retry-After is the HTTP date ``seconds`` after ``wall``, rounded up."""
    until = math.ceil(wall + seconds)
    answer = gateway(429, "Rate limit is exceeded.")
    dates = {"Retry-After": until, "Date": wall}
    headers = {name: email.utils.formatdate(when, usegmt=True) for name, when in dates.items()}
    return attrs.evolve(answer, headers=headers, retry_after=until - wall)


def unavailable(seconds: float | None) -> Answer:
    """Return a 503, with Retry-After where ``seconds`` is given."""
    answer = gateway(503, "Service Unavailable")
    if seconds is None:
        return answer
    whole = math.ceil(seconds)
    return attrs.evolve(answer, headers={"Retry-After": str(whole)}, retry_after=whole)


def quota(seconds: float) -> Answer:
    """Return the gateway's 403 for a call volume used up; Retry-After may be days."""
    whole = math.ceil(seconds)
    clock = f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
    answer = gateway(403, f"Out of call volume quota. Quota will be replenished in {clock}.")
    return attrs.evolve(answer, headers={"Retry-After": str(whole)}, retry_after=whole)


def list_answer(status: int, message: str, http: int = 200) -> Answer:
    """Return the answer of a list operation: ``status`` 1 is success."""
    return _json(http, {"status": status, "message": message})


def created(list_id: str) -> Answer:
    """Return the answer to a list created."""
    return _json(200, {"status": 1, "message": "List Created", "list_id": list_id})


def trigger_answer(code: ResultCode, reference: str, ids: list[str]) -> Answer:
    """Return the answer of a trigger or a scheduled message."""
    return _json(
        STATUSES[code],
        {
            "Message_Status": [{"Message_Id": message_id, "Status": "SUBMITTED"} for message_id in ids],
            "Reference": reference,
            "Result_Code": int(code),
            "Result_Description": DESCRIPTIONS[code],
        },
    )
