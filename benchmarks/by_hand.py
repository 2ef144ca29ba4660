"""The loops that people write themselves, with aiohttp."""

import asyncio
import functools
import json
from collections.abc import Callable, Iterable
from typing import Any

import aiohttp
import msgspec

from benchmarks.work import IN_FLIGHT, LIST_ID, batches, instances, mappings

_HEADERS = {"Content-Type": "application/json", "Ocp-Apim-Subscription-Key": "s"}
_QUERY = {"api_key": "k", "list_id": LIST_ID}
_encode = msgspec.json.Encoder().encode


def append_url(port: int) -> str:
    return f"http://127.0.0.1:{port}/customers/CustomerList-append"


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> None:
    async with session.post(url, params=_QUERY, data=body) as reply:
        assert json.loads(await reply.read())["status"] == 1


async def naive(count: int, port: int) -> int:
    """json.dumps of whole chunks; every chunk is built first, then gathered behind a semaphore."""
    slots = asyncio.Semaphore(IN_FLIGHT)
    url = append_url(port)
    sent = 0
    async with aiohttp.ClientSession(headers=_HEADERS) as session:

        async def send(batch: list[Any]) -> None:
            nonlocal sent
            async with slots:
                await _post(session, url, json.dumps(batch).encode())
                sent += len(batch)

        await asyncio.gather(*[send(batch) for batch in batches(mappings(count))])
    return sent


async def tuned(make: Callable[[int], Iterable[Any]], count: int, port: int) -> int:
    """A fast encoder and a bounded number in flight, and nothing else."""
    slots = asyncio.Semaphore(IN_FLIGHT)
    url = append_url(port)
    sent = 0
    async with aiohttp.ClientSession(headers=_HEADERS) as session:

        async def send(body: bytes, records: int) -> None:
            nonlocal sent
            try:
                await _post(session, url, body)
                sent += records
            finally:
                slots.release()

        async with asyncio.TaskGroup() as tasks:
            for batch in batches(make(count)):
                await slots.acquire()
                tasks.create_task(send(_encode(batch), len(batch)))
    return sent


tuned_mappings = functools.partial(tuned, mappings)
tuned_instances = functools.partial(tuned, instances)
