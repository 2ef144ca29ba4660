"""A peer of the sandbox that has nothing of this project's client in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import attrs
import pytest

from mobiz_async.sandbox import Sandbox

KEYS = {"Ocp-Apim-Subscription-Key": "sandbox-subscription-key", "Content-Type": "application/json"}


@attrs.frozen
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@attrs.define
class Peer:
    """Posts with a plain aiohttp session, or over a raw socket."""

    sandbox: Any
    session: aiohttp.ClientSession

    async def post(self, target: str, value: Any = None, *, headers: dict[str, str] | None = None) -> Reply:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return await self.call("POST", target, body, KEYS if headers is None else headers)

    async def call(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        call = self.session.request(
            method, self.sandbox.base_url + target, data=body, headers=headers, allow_redirects=False
        )
        async with call as response:
            return Reply(response.status, dict(response.headers), await response.read())

    async def append(self, value: Any, list_id: str = "1") -> Reply:
        return await self.post(f"/customers/CustomerList-append?api_key=sandbox-api-key&list_id={list_id}", value)

    async def create(self, name: Any, definition: Any) -> Reply:
        value = {"Customer List Name": name, "Customer List Definition": definition}
        return await self.post("/customers/CustomerList-create?api_key=sandbox-api-key&username=sandbox-user", value)

    async def trigger(self, value: Any, query: str = "trigger_key=sandbox-trigger") -> Reply:
        return await self.post(f"/TriggerMessage/manual/paths/invoke?api_key=sandbox-api-key&{query}", value)

    async def get(self, target: str) -> Reply:
        return await self.call("GET", target)

    async def raw(self, sent: bytes) -> bytes | type[ConnectionResetError]:
        """Send bytes on a connection of its own; return all that came back, or that it was reset."""
        host, port = self.sandbox.base_url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(sent)
            return await reader.read()
        except ConnectionResetError:
            return ConnectionResetError
        finally:
            writer.close()


def request_bytes(body: bytes, *, path: str | None = None, extra: str = "Connection: close\r\n") -> bytes:
    """The bytes of one POST, an append to list 1 by default."""
    target = path or "/customers/CustomerList-append?api_key=sandbox-api-key&list_id=1"
    head = (
        f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Ocp-Apim-Subscription-Key: sandbox-subscription-key\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body


@pytest.fixture
def post_bytes() -> Callable[..., bytes]:
    return request_bytes


@attrs.define
class SteppedClock:
    """A clock that stands still; sleepers wake when a test says so."""

    now: float = 1_800_000_000.0
    slept: list[float] = attrs.field(factory=list)
    wake: asyncio.Event = attrs.field(factory=asyncio.Event)

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.wake.wait()


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def peer_of(session: aiohttp.ClientSession) -> Callable[[Any], Peer]:
    return lambda sandbox: Peer(sandbox, session)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def peer(sandbox: Sandbox, session: aiohttp.ClientSession) -> Peer:
    return Peer(sandbox, session)
