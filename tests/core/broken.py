"""Servers that break off, fall silent or talk nonsense: scripts over ``asyncio.start_server``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from pathlib import Path

import attrs
import trustme


@cache
def authority() -> trustme.CA:
    """Return the authority that vouches for the servers of these tests, and for nobody else."""
    return trustme.CA()


@attrs.define(eq=False)
class Seen:
    """What a scripted server has seen, and how to talk to it."""

    url: str = ""
    requests: list[tuple[bytes, bytes]] = attrs.field(factory=list)
    """(head, body) of each request read whole."""
    connections: int = 0
    received: int = 0
    """Bytes of bodies read, whole or not."""
    ended: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set when a connection is over."""
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event)

    def note(self, head: bytes, body: bytes) -> None:
        """Take down a request."""
        self.requests.append((head, body))
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as ``condition()`` holds; it is asked again at each request."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()


@attrs.define(eq=False)
class Peer:
    """One connection, as the script has it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    seen: Seen

    async def head(self) -> bytes:
        """Read up to the empty line after the headers."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> tuple[bytes, bytes]:
        """Read one whole request."""
        head = await self.head()
        found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        body = await self.reader.readexactly(int(found[1]) if found else 0)
        self.seen.note(head, body)
        self.seen.received += len(body)
        return head, body

    async def rest(self) -> None:
        """Read whatever still comes, to the end of the connection."""
        with contextlib.suppress(ConnectionError):
            while part := await self.reader.read(1 << 16):
                self.seen.received += len(part)

    async def answer(self, status: str, body: bytes = b"", *headers: str, length: int | None = None) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
        self.writer.write("\r\n".join(lines).encode() + body)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    def reset(self) -> None:
        """End with RST."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(script: Script, *, tls: bool | None = None) -> AsyncIterator[Seen]:
    """Run ``script`` for each connection, which is closed behind it; the server is gone when the block is.

    With ``tls`` the ``authority`` vouches for it. Where that is not said, it is https only where all tests are.
    """
    seen = Seen()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        seen.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await script(Peer(reader, writer, seen))
        finally:
            seen.ended.set()
            tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    context = None
    folder = os.environ.get("MOBIZ_TEST_TLS") if tls is None else None
    if tls or folder:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        if folder:
            context.load_cert_chain(*(Path(folder, name) for name in ("server.pem", "server.key")))
        else:
            authority().issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    seen.url = f"http{'s' if context else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield seen
    finally:
        server.close()
        for task in [*tasks]:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


APPENDED = b'{"status": 1, "message": "Data Appended"}'


async def obliging(peer: Peer) -> None:
    """Accept every append."""
    while True:
        await peer.request()
        await peer.answer("200 OK", APPENDED)


async def garbage(peer: Peer) -> None:
    """Answer with what is not HTTP."""
    await peer.request()
    peer.writer.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")


async def silence(peer: Peer) -> None:
    """Take the request, and say nothing."""
    await peer.request()
    await asyncio.Event().wait()
