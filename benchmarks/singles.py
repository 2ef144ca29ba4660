"""Many small messages: one POST each, or coalesced."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from benchmarks.ours import client
from benchmarks.work import MESSAGE

CONNECTIONS = 100
CALLERS = 1_000
"""Tasks that wait for a coalesced send at a time."""
TRIGGER_KEY = "one-time-pins"

Send = Callable[[dict[str, str]], Awaitable[Any]]


def _fields(row: int) -> dict[str, str]:
    return {"A": f"2771{row:07d}", "B": MESSAGE}


async def _at_a_time(tasks: int, count: int, send: Send) -> None:
    rows = iter(range(count))

    async def work() -> None:
        for row in rows:
            await send(_fields(row))

    await asyncio.gather(*[work() for _ in range(tasks)])


async def by_hand(count: int, port: int) -> int:
    """aiohttp, 100 workers on 100 connections, a POST for each message."""
    url = f"http://127.0.0.1:{port}/TriggerMessage/manual/paths/invoke"
    sent = 0
    async with aiohttp.ClientSession(headers={"Ocp-Apim-Subscription-Key": "s"}) as session:

        async def send(fields: dict[str, str]) -> None:
            nonlocal sent
            query = {"trigger_key": TRIGGER_KEY, "api_key": "k"}
            async with session.post(url, params=query, json=fields) as reply:
                assert json.loads(await reply.read())["Result_Code"] == 3  # noqa: PLR2004  the vendor's "accepted"
                sent += 1

        await _at_a_time(CONNECTIONS, count, send)
    return sent


async def triggers(count: int, port: int) -> int:
    """`MobizClient.trigger`, 100 at a time."""
    sent = 0
    async with client(port) as mobiz:

        async def send(fields: dict[str, str]) -> None:
            nonlocal sent
            receipt = await mobiz.trigger(TRIGGER_KEY, fields)
            sent += receipt.message_id is not None

        await _at_a_time(CONNECTIONS, count, send)
    return sent


async def coalesced(count: int, port: int) -> int:
    """`MobizClient.coalesce`, a thousand callers at a time."""
    sent = 0
    async with client(port) as mobiz, mobiz.coalesce(TRIGGER_KEY) as queue:

        async def send(fields: dict[str, str]) -> None:
            nonlocal sent
            receipt = await queue.send(fields)
            sent += receipt.message_id is not None

        await _at_a_time(CALLERS, count, send)
    return sent
