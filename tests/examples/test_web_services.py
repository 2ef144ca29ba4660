"""Each web example serves real requests, and answers each of the four outcomes in its own way."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.test_utils import TestServer

from mobiz_async.sandbox import Fault, Faults, Injection

PATIENCE = 3601  # seconds of Retry-After that are longer than a client waits
ENDS = [
    (None, 202, None, "yes"),
    (Fault.ERROR_500_AFTER_APPLY, 202, None, "perhaps"),
    (Injection(Fault.THROTTLE, retry_after=PATIENCE), 503, str(PATIENCE), "no"),
    (Fault.REJECTED_200, 422, None, "no"),
]


@pytest.mark.parametrize(("fault", "status", "retry_after", "sent"), ENDS)
async def test_fastapi_answers_each_outcome(sandbox, example, served, fault, status, retry_after, sent):
    sandbox.faults = Faults.always(fault)
    async with served(example("fastapi_service").app) as browser:
        answer = await browser.post("/texts", {"number": "27821234567", "name": "Thandi"})

    assert (answer[0], answer[1], answer[2]["sent"]) == (status, retry_after, sent)
    assert sandbox.triggered() == ({"27821234567": 1} if status == 202 else {})


async def test_fastapi_refuses_what_cannot_be_sent_by_its_field_and_reason(sandbox, example, served):
    async with served(example("fastapi_service").app) as browser:
        answer = await browser.post("/texts", {"number": "27821234567", "name": "lone surrogate \ud800"})

    assert answer[0] == 422
    assert sandbox.requests == ()


async def test_fastapi_serves_many_at_once_with_one_client(sandbox, example, served):
    numbers = [f"2782{number:07}" for number in range(50)]
    async with served(example("fastapi_service").app) as browser:
        answers = await asyncio.gather(*[browser.post("/texts", {"number": n, "name": "x"}) for n in numbers])

    assert {status for status, _, _ in answers} == {202}
    assert len({answer["id"] for _, _, answer in answers}) == 50
    assert sandbox.triggered() == dict.fromkeys(numbers, 1)


@pytest.mark.parametrize(("fault", "status", "retry_after", "sent"), ENDS)
async def test_django_answers_each_outcome(sandbox, example, served, fault, status, retry_after, sent):
    sandbox.faults = Faults.always(fault)
    async with served(example("django_view").application) as browser:
        answer = await browser.post("/texts", {"A": "27821234567", "B": "Thandi"})

    assert (answer[0], answer[1], answer[2]["sent"]) == (status, retry_after, sent)
    assert sandbox.triggered() == ({"27821234567": 1} if status == 202 else {})


@pytest.mark.parametrize(("fault", "status", "retry_after", "sent"), ENDS)
async def test_aiohttp_answers_each_outcome(sandbox, example, browser_of, fault, status, retry_after, sent):
    sandbox.faults = Faults.always(fault)
    async with (
        TestServer(example("aiohttp_service").application()) as server,
        browser_of(str(server.make_url(""))) as b,
    ):
        answer = await b.post("/codes", {"number": "27821234567"})

    assert (answer[0], answer[1], answer[2]["sent"]) == (status, retry_after, sent)
    assert sandbox.triggered() == ({"27821234567": 1} if status == 202 else {})


async def test_aiohttp_sends_the_codes_of_many_callers_in_few_requests(sandbox, example, browser_of):
    numbers = [f"2782{number:07}" for number in range(50)]
    async with (
        TestServer(example("aiohttp_service").application()) as server,
        browser_of(str(server.make_url(""))) as b,
    ):
        answers = await asyncio.gather(*[b.post("/codes", {"number": number}) for number in numbers])

    assert len({answer["id"] for _, _, answer in answers}) == 50
    assert sandbox.triggered() == dict.fromkeys(numbers, 1)
    assert len(sandbox.requests) < 25
