"""An upload that was given up stops: the server does not get the rest of the body after the caller was told.

The server here is a bare socket with a small receive buffer, which reads a little, waits until the caller has been
told, and then takes all that still comes. What has reached its side by then cannot be called back, which is why such a
chunk is unknown; what this machine still holds is dropped by a reset.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable

import aiohttp
import attrs
import pytest
import trustme

from mobiz_async import MobizClient
from mobiz_async.errors import OutcomeUnknownError
from mobiz_async.models import Timeouts

MESSAGE = "x" * 1000
LARGE = [{"Number": f"2782{number:07d}", "Message": MESSAGE} for number in range(3_000)]
SMALL = LARGE[:55]
SIZE_OF = {"large": 3_000_000, "small": 55_000}
RECEIVE_BUFFER = 4096
FIRST_READ = 2048


AUTHORITY = trustme.CA()


@attrs.define
class SlowServer:
    """Takes one connection; ``started`` when its first bytes are here, ``rest`` reads whatever comes until its end."""

    listener: socket.socket
    https: bool
    connection: socket.socket | None = None
    received: int = 0

    @property
    def base_url(self) -> str:
        return f"http{'s' if self.https else ''}://127.0.0.1:{self.listener.getsockname()[1]}"

    async def started(self) -> None:
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(self.listener)
        if self.https:
            self.connection = await asyncio.to_thread(self._read_in_tls, connection)
        else:
            self.connection = connection
            self.received = len(await loop.sock_recv(connection, FIRST_READ))

    def _read_in_tls(self, connection: socket.socket) -> socket.socket:
        """Read the first bytes, and return the socket without its TLS: what still comes is counted, not understood."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
        connection.settimeout(10.0)
        with context.wrap_socket(connection, server_side=True) as wrapped:
            self.received = len(wrapped.recv(FIRST_READ))
            bare = socket.socket(fileno=wrapped.detach())
        bare.setblocking(False)
        return bare

    async def rest(self) -> str:
        """Read on; return how the connection ended."""
        assert self.connection is not None
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(self.connection, 1 << 20):
                self.received += len(data)
        except ConnectionResetError:
            return "reset"
        return "closed in order"


@pytest.fixture(params=["http", "https"])
async def server(request) -> AsyncIterator[SlowServer]:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    listener.setblocking(False)
    made = SlowServer(listener, request.param == "https")
    yield made
    listener.close()
    if made.connection is not None:
        made.connection.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session that trusts the server."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield session


@pytest.fixture
def client(server, session) -> Callable[..., MobizClient]:
    """Make a client of the server."""

    def make(**timeouts: float) -> MobizClient:
        handed_in = session if server.https else None
        keys = ("api-key", "subscription-key")
        return MobizClient(*keys, base_url=server.base_url, session=handed_in, timeouts=Timeouts(**timeouts))

    return make


async def check_that_it_stopped(server: SlowServer, size: int) -> None:
    async with asyncio.timeout(10.0):
        assert await server.rest() == "reset"
    assert server.received < size / 2


@pytest.mark.parametrize(
    ("records", "timeouts", "why"),
    [
        ("large", {"upload_stall": 0.2}, "the server stopped taking the body"),
        ("large", {"total": 0.3}, "no answer within the timeout"),
        ("small", {"read": 0.3}, "no answer within the timeout"),
        ("small", {"total": 0.3}, "no answer within the timeout"),
    ],
    ids=["upload stalled", "total over", "silence after one slice", "total over after one slice"],
)
async def test_a_timed_out_upload_stops(server, client, records, timeouts, why):
    async with client(**timeouts) as mobiz:
        task = asyncio.create_task(mobiz.append("1", LARGE if records == "large" else SMALL))
        await server.started()
        with pytest.raises(OutcomeUnknownError, match=why):
            await task

        await check_that_it_stopped(server, SIZE_OF[records])


@pytest.mark.parametrize("records", ["large", "small"])
async def test_a_cancelled_upload_stops(server, client, records):
    async with client() as mobiz:
        task = asyncio.create_task(mobiz.append("1", LARGE if records == "large" else SMALL))
        await server.started()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        await check_that_it_stopped(server, SIZE_OF[records])


async def test_a_cancelled_run_stops_its_uploads_and_calls_them_unknown(server, client):
    async with client() as mobiz, mobiz.bulk("1", LARGE) as run:
        task = asyncio.create_task(run.finish())
        await server.started()
        task.cancel()
        await asyncio.wait([task])

        await check_that_it_stopped(server, SIZE_OF["large"])

    assert (task.cancelled(), run.report.unknown) == (True, 3_000)


@pytest.mark.parametrize("records", ["large", "small"])
async def test_a_client_that_is_closed_cuts_its_uploads_off(server, client, records):
    mobiz = client()
    task = asyncio.create_task(mobiz.append("1", LARGE if records == "large" else SMALL))
    await server.started()
    await mobiz.aclose(timeout=0.0)
    with pytest.raises(OutcomeUnknownError):
        await task

    await check_that_it_stopped(server, SIZE_OF[records])
