"""What no client could beat: make the records, encode them in whole chunks, push the bytes. Each is measured alone."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time

import msgspec

from benchmarks.work import CHUNK, IN_FLIGHT, batches, mappings

_BODIES = 20
"""Different bodies to push; they are sent again and again."""


class Watch:
    """Adds up the time spent inside its ``with`` blocks: by the wall, and of this process's CPU."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cpu = 0.0

    def __enter__(self) -> None:
        self._since = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._since[0]
        self.cpu += time.process_time() - self._since[1]


def making(count: int, watch: Watch) -> None:
    """Take ``count`` records out of the source, chunk by chunk."""
    with watch:
        for _ in batches(mappings(count)):
            pass


def encoding(count: int, watch: Watch) -> None:
    """Encode them, a whole chunk at a time, the making not counted."""
    encode = msgspec.json.Encoder().encode
    for batch in batches(mappings(count)):
        with watch:
            encode(batch)


async def pushing(count: int, port: int, watch: Watch) -> None:
    """Push their bytes, encoded beforehand, through raw sockets, and hear an answer to each chunk."""
    encode = msgspec.json.Encoder().encode
    requests = [
        b"POST /customers/CustomerList-append HTTP/1.1\r\nHost: sink\r\nContent-Length: %d\r\n\r\n%s"
        % (len(body), body)
        for body in map(encode, itertools.islice(batches(mappings(min(count, _BODIES * CHUNK))), _BODIES))
    ]
    waiting = iter(range(count // CHUNK))
    loop = asyncio.get_running_loop()

    async def push(connection: socket.socket) -> None:
        for turn in waiting:
            await loop.sock_sendall(connection, requests[turn % len(requests)])
            assert (await loop.sock_recv(connection, 4096)).startswith(b"HTTP/1.1 200")

    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(IN_FLIGHT)]
    try:
        for connection in connections:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with watch:
            await asyncio.gather(*map(push, connections))
    finally:
        for connection in connections:
            connection.close()


async def parts(count: int, port: int) -> dict[str, float]:
    """Return the three in microseconds a record, what their sum allows a second, and the CPU they take."""
    make, encode, push = Watch(), Watch(), Watch()
    making(count, make)
    encoding(count, encode)
    await pushing(count, port, push)
    each = {name: watch.seconds / count * 1e6 for name, watch in (("make", make), ("encode", encode), ("push", push))}
    return {**each, "rate": 1e6 / sum(each.values()), "cpu": (make.cpu + encode.cpu + push.cpu) / count * 1e6}
