"""The examples as a reader runs them: settings from the environment, real requests on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket
import sys
from pathlib import Path

import aiohttp
import pytest
import uvicorn

from mobiz_async.sandbox import Sandbox

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
async def sandbox(monkeypatch):
    """A running sandbox; the environment names it and its keys."""
    async with Sandbox() as sandbox:
        monkeypatch.setenv("MOBIZ_API_KEY", "sandbox-api-key")
        monkeypatch.setenv("MOBIZ_SUBSCRIPTION_KEY", "sandbox-subscription-key")
        monkeypatch.setenv("MOBIZ_TRIGGER_KEY", "sandbox-trigger")
        monkeypatch.setenv("MOBIZ_BASE_URL", sandbox.base_url)
        yield sandbox


def load(name):
    """Import an example by its file's name, afresh unless it was imported before."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def example():
    return load


class Browser:
    """Posts JSON to a served program."""

    def __init__(self, session, address):
        self._session = session
        self.address = address

    async def post(self, path, value):
        """Return (status, Retry-After or None, decoded answer)."""
        async with self._session.post(self.address + path, json=value) as response:
            return response.status, response.headers.get("Retry-After"), await response.json()


@pytest.fixture
def served():
    """Serve an ASGI application by uvicorn on a socket of its own, for as long as the block lasts."""

    @contextlib.asynccontextmanager
    async def serve(application):
        listener = socket.create_server(("127.0.0.1", 0))  # connections wait in its queue until uvicorn takes them
        server = uvicorn.Server(uvicorn.Config(application, lifespan="on", log_config=None, ws="none"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with aiohttp.ClientSession() as session:
                yield Browser(session, f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            server.should_exit = True
            await task
            listener.close()

    return serve


@pytest.fixture
def browser_of():
    """A browser for an address that is served otherwise."""

    @contextlib.asynccontextmanager
    async def make(address):
        async with aiohttp.ClientSession() as session:
            yield Browser(session, address)

    return make
