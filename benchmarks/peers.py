"""The helpers and clients people know, on the same work: appends of 10,000 records, eight in flight where they can.

Each does what its documentation shows. elasticsearch-py speaks its own protocol (a line of action before each record,
an answer that names each of them), and has one request in flight, because that is what its bulk helper does.
"""

import asyncio
import concurrent.futures
import threading
from typing import Any

from benchmarks.by_hand import append_url
from benchmarks.work import CHUNK, IN_FLIGHT, LIST_ID, batches, mappings

_HEADERS = {"Ocp-Apim-Subscription-Key": "s"}
_QUERY = {"api_key": "k", "list_id": LIST_ID}
_PATIENCE = 120.0


async def httpx_gather(count: int, port: int) -> int:
    import httpx  # noqa: PLC0415  each peer runs in a process of its own and is to pay for itself alone

    slots = asyncio.Semaphore(IN_FLIGHT)
    async with httpx.AsyncClient(headers=_HEADERS, timeout=_PATIENCE) as client:

        async def send(batch: list[Any]) -> int:
            async with slots:
                reply = await client.post(append_url(port), params=_QUERY, json=batch)
            assert reply.json()["status"] == 1
            return len(batch)

        return sum(await asyncio.gather(*[send(batch) for batch in batches(mappings(count))]))


def _with_requests(count: int, port: int) -> int:
    import requests  # noqa: PLC0415  the same

    own = threading.local()
    room = threading.Semaphore(IN_FLIGHT)

    def send(batch: list[Any]) -> int:
        if not hasattr(own, "session"):
            own.session = requests.Session()
        try:
            reply = own.session.post(append_url(port), params=_QUERY, headers=_HEADERS, json=batch, timeout=_PATIENCE)
            assert reply.json()["status"] == 1
            return len(batch)
        finally:
            room.release()

    sending = []
    with concurrent.futures.ThreadPoolExecutor(IN_FLIGHT) as pool:
        for batch in batches(mappings(count)):
            room.acquire()
            sending.append(pool.submit(send, batch))
        return sum(future.result() for future in sending)


async def requests_threads(count: int, port: int) -> int:
    return await asyncio.to_thread(_with_requests, count, port)


async def _elastic(count: int, port: int, **options: Any) -> int:
    from elasticsearch import AsyncElasticsearch  # noqa: PLC0415  the same
    from elasticsearch.helpers import async_bulk  # noqa: PLC0415  the same

    async with AsyncElasticsearch(f"http://127.0.0.1:{port}", request_timeout=_PATIENCE, **options) as client:
        sent, failed = await async_bulk(client, mappings(count), index="list", chunk_size=CHUNK, stats_only=True)
    assert not failed
    return sent


async def elastic_bulk(count: int, port: int) -> int:
    return await _elastic(count, port)


async def elastic_bulk_orjson(count: int, port: int) -> int:
    from elasticsearch.serializer import OrjsonSerializer  # noqa: PLC0415  the same

    return await _elastic(count, port, serializer=OrjsonSerializer())
