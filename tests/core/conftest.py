"""Fixtures of the core's tests."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from yarl import URL

from mobiz_async import Credentials, MobizClient, Timeouts
from mobiz_async.sandbox import Sandbox
from mobiz_async.transport import AiohttpTransport

API_KEY = "sandbox-api-key"
SUBSCRIPTION_KEY = "sandbox-subscription-key"


@pytest.fixture
async def transport_to() -> AsyncIterator[Callable[..., AiohttpTransport]]:
    """Make transports that are closed when the test is over."""
    made: list[AiohttpTransport] = []

    def make(url: str, *, session: Any = None, settings: Any = None, **timeouts: float) -> AiohttpTransport:
        credentials = Credentials(API_KEY, SUBSCRIPTION_KEY)
        made.append(AiohttpTransport(credentials, URL(url), Timeouts(**timeouts), session, **(settings or {})))
        return made[-1]

    yield make
    for transport in made:
        await transport.aclose()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def client_of() -> AsyncIterator[Callable[..., MobizClient]]:
    """Make clients of a sandbox or of any address; they are closed when the test is over."""
    made: list[MobizClient] = []

    def make(server: Any, **settings: Any) -> MobizClient:
        url = server if isinstance(server, str) else getattr(server, "base_url", None) or server.url
        made.append(MobizClient(API_KEY, SUBSCRIPTION_KEY, "sandbox-user", base_url=url, **settings))
        return made[-1]

    yield make
    for client in made:
        await client.aclose(timeout=0.0)


@pytest.fixture
async def client(sandbox: Sandbox, client_of: Callable[..., MobizClient]) -> MobizClient:
    return client_of(sandbox)


@pytest.fixture
def deaf() -> Iterator[str]:
    """A socket that is bound and does not listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
