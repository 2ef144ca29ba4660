"""``expect_continue``: the body waits for the server's 100 Continue (RFC 9110, 10.1.1)."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from mobiz_async import ConnectError, MobizClient, RetryPolicy
from mobiz_async.sandbox import Sandbox


@asynccontextmanager
async def server(answer):
    async def serve(reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        seen.append(await reader.read() if answer else b"")
        writer.close()

    seen = []
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", seen


async def test_a_server_that_goes_away_before_it_continues_is_proven_not_to_have_the_body():
    async with server(b"") as (url, seen), client(url) as mobiz:
        with pytest.raises(ConnectError) as caught:
            await mobiz.trigger("key", {"A": "27821234567"})
    assert (caught.value.attempts, len(seen), seen[1]) == (1, 2, b"")


async def test_a_refusal_before_the_body_is_judged_by_its_status():
    answer = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with server(answer) as (url, seen), client(url) as mobiz:
        report = await mobiz.send_bulk("1", ["27821234567"])
    assert (report.not_sent, seen[1]) == (1, b"")


async def test_a_server_that_continues_gets_the_body():
    async with Sandbox() as sandbox, client(sandbox.base_url) as mobiz:
        report = await mobiz.send_bulk("1", ["27821234567"])
    assert (report.accepted, sandbox.applied("1")) == (1, {"27821234567": 1})


def client(url):
    return MobizClient(
        "sandbox-api-key",
        "sandbox-subscription-key",
        base_url=url,
        retry=RetryPolicy(max_attempts=1),
        expect_continue=True,
    )
