"""Statuses and exceptions of aiohttp to ours, over a mocked session: no socket, no timing."""

from __future__ import annotations

import re
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses

from mobiz_async import (
    AuthenticationError,
    EngagementNotFoundError,
    InvalidPayloadError,
    MissingFieldsError,
    MobizClient,
    OutcomeUnknownError,
    PayloadTooLargeError,
    QuotaExceededError,
    RejectedError,
    RetryPolicy,
    ThrottledError,
)

ANY = re.compile(r"^https://api\.mobiz\.co/")
ONCE = RetryPolicy(max_attempts=1)

LISTS: list[tuple[int, dict[str, Any], type[Exception] | None]] = [
    (200, {"payload": {"status": 1, "message": "Data Appended"}}, None),
    (200, {"payload": {"status": 0}}, RejectedError),
    (200, {"body": "<html>"}, OutcomeUnknownError),
    (202, {}, OutcomeUnknownError),
    (301, {}, OutcomeUnknownError),
    (307, {}, RejectedError),
    (400, {}, InvalidPayloadError),
    (401, {}, AuthenticationError),
    (403, {}, AuthenticationError),
    (403, {"headers": {"Retry-After": "9"}}, QuotaExceededError),
    (404, {}, RejectedError),
    (405, {}, RejectedError),
    (408, {}, OutcomeUnknownError),
    (413, {}, PayloadTooLargeError),
    (415, {}, RejectedError),
    (422, {}, InvalidPayloadError),
    (429, {}, ThrottledError),
    (500, {}, OutcomeUnknownError),
    (502, {"body": "<html>"}, OutcomeUnknownError),
    (503, {}, OutcomeUnknownError),
    (503, {"headers": {"Retry-After": "9"}}, ThrottledError),
    (504, {}, OutcomeUnknownError),
]
TRIGGERS: list[tuple[int, dict[str, Any], type[Exception] | None]] = [
    (200, {"payload": {"Result_Code": 0}}, AuthenticationError),
    (200, {"payload": {"Result_Code": 1}}, EngagementNotFoundError),
    (200, {"payload": {"Result_Code": 2}}, InvalidPayloadError),
    (200, {"payload": {"Result_Code": 3}}, None),
    (200, {"payload": {"Result_Code": 4}}, MissingFieldsError),
    (200, {"payload": {"Result_Code": 5}}, OutcomeUnknownError),
    (202, {}, None),
    (400, {"payload": {"error": {"code": "x", "message": "y"}}}, InvalidPayloadError),
]


async def call(operation: str) -> Any:
    async with MobizClient("api-key", "subscription-key", retry=ONCE) as client:
        if operation == "append":
            return await client.append("1", ["27821234567"])
        return await client.trigger("key", {"A": "27821234567"})


@pytest.mark.parametrize(
    ("operation", "status", "answer", "kind"),
    [("append", *row) for row in LISTS] + [("trigger", *row) for row in TRIGGERS],
)
async def test_each_status_has_its_exception(mocked: aioresponses, operation: str, status: int, answer, kind) -> None:
    mocked.post(ANY, status=status, **answer)

    if kind is None:
        assert await call(operation) is not None
        return
    with pytest.raises(kind) as raised:
        await call(operation)

    assert (kind, status, 1) == (type(raised.value), raised.value.status, raised.value.attempts)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (aiohttp.ServerDisconnectedError(), "the connection was lost"),
        (aiohttp.ClientPayloadError(), "the answer broke off"),
        (TimeoutError(), "no answer within the timeout"),
        (aiohttp.ClientConnectionResetError(), "the connection was lost"),
        (ValueError("27821234567"), "the request failed"),
    ],
)
async def test_each_exception_of_a_session_has_our_words(mocked: aioresponses, error: Exception, words: str) -> None:
    """The mock writes no body, so the stage says that none of these was sent; the words are what is tested here."""
    mocked.post(ANY, exception=error)

    with pytest.raises(Exception, match=words) as raised:
        await call("append")

    assert raised.value.__context__ is raised.value.__cause__ is None


async def test_the_default_address_is_the_vendors(mocked: aioresponses) -> None:
    mocked.post(ANY, payload={"status": 1})
    await call("append")

    ((method, url),) = mocked.requests
    assert (method, str(url.with_query(None))) == ("POST", "https://api.mobiz.co/customers/CustomerList-append")


async def test_what_the_session_is_told_holds_no_key(mocked: aioresponses) -> None:
    """The keys come in with the innermost middleware, which the mock leaves out."""
    mocked.post(ANY, payload={"status": 1})
    await call("append")

    (((_, url), calls),) = mocked.requests.items()
    shown = f"{url} {calls[0].kwargs.get('headers')} {calls[0].kwargs.get('params')}"
    assert "api-key" not in shown
    assert "subscription-key" not in shown
    assert (calls[0].kwargs["allow_redirects"], calls[0].kwargs["raise_for_status"]) == (False, False)
