"""What the transport rests on: aiohttp's exceptions and facts. A release that changes one fails here first."""

from __future__ import annotations

import asyncio
import inspect
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from broken import (
    Peer,
    Seen,
    garbage,
    serving,
    silence,
)
from posting import BODY, append

from mobiz_async.sandbox import Sandbox
from mobiz_async.transport import failure_of
from mobiz_async.verdicts import Attempt, Failure, Stage

# Foreign exceptions: each of aiohttp's has our word

OURS = {
    aiohttp.ConnectionTimeoutError: Failure.CONNECT_TIMEOUT,
    aiohttp.ClientConnectorError: Failure.CONNECT,
    aiohttp.ClientConnectorDNSError: Failure.CONNECT,
    aiohttp.ClientConnectorSSLError: Failure.CONNECT,
    aiohttp.ClientConnectorCertificateError: Failure.CERTIFICATE,
    aiohttp.ClientSSLError: Failure.CONNECT,
    aiohttp.ClientProxyConnectionError: Failure.CONNECT,
    aiohttp.client_exceptions.UnixClientConnectorError: Failure.CONNECT,
    aiohttp.ServerFingerprintMismatch: Failure.CERTIFICATE,
    aiohttp.ClientHttpProxyError: Failure.PROXY,
    aiohttp.ServerTimeoutError: Failure.TIMEOUT,
    aiohttp.SocketTimeoutError: Failure.TIMEOUT,
    aiohttp.ClientPayloadError: Failure.TRUNCATED,
    aiohttp.ClientResponseError: Failure.GARBAGE,
    aiohttp.ContentTypeError: Failure.GARBAGE,
    aiohttp.TooManyRedirects: Failure.GARBAGE,
    aiohttp.WSServerHandshakeError: Failure.GARBAGE,
    aiohttp.ClientConnectionError: Failure.DISCONNECTED,
    aiohttp.ClientConnectionResetError: Failure.DISCONNECTED,
    aiohttp.ClientOSError: Failure.DISCONNECTED,
    aiohttp.ServerConnectionError: Failure.DISCONNECTED,
    aiohttp.ServerDisconnectedError: Failure.DISCONNECTED,
}
WITHOUT_A_WORD = {
    aiohttp.ClientError: "the base of all",
    aiohttp.InvalidURL: "our own URLs are checked when the client is made",
    aiohttp.InvalidUrlClientError: "the same",
    aiohttp.InvalidUrlRedirectClientError: "no redirect is followed",
    aiohttp.NonHttpUrlClientError: "the scheme is checked when the client is made",
    aiohttp.NonHttpUrlRedirectClientError: "no redirect is followed",
    aiohttp.RedirectClientError: "no redirect is followed",
}
OF_OTHER_USES = {"UploadAbortedError", "ConnectionTimeoutError"}


def kinds_of(base: type[BaseException]) -> set[type[BaseException]]:
    return {base}.union(*(kinds_of(kind) for kind in base.__subclasses__() if kind.__module__.startswith("aiohttp")))


def test_every_exception_of_aiohttps_has_a_word_or_a_reason_for_none() -> None:
    names = {kind.__name__ for kind in kinds_of(aiohttp.ClientError)}

    assert names - {kind.__name__ for kind in [*OURS, *WITHOUT_A_WORD]} <= OF_OTHER_USES


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_each_exception_of_aiohttps_has_its_word(kind: type[BaseException]) -> None:
    assert failure_of(kind.__new__(kind)) is OURS[kind]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (TimeoutError(), Failure.TIMEOUT),
        (ConnectionResetError(), Failure.DISCONNECTED),
        (OSError(), Failure.DISCONNECTED),
        (ssl.SSLError(), Failure.DISCONNECTED),
        (ValueError(), Failure.OTHER),
        *((kind.__new__(kind), Failure.OTHER) for kind in WITHOUT_A_WORD),
    ],
)
def test_other_exceptions_have_a_word_too(error: BaseException, failure: Failure) -> None:
    assert failure_of(error) is failure


# Facts about aiohttp that the transport rests on; a new release that changes one fails here first


async def test_fact_a_session_keeps_its_middlewares_where_we_chain_to_them() -> None:
    async def middleware(request: Any, handler: Any) -> Any:
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=[middleware]) as session, aiohttp.ClientSession() as plain:
        assert (middleware,) == tuple(session._middlewares)
        assert tuple(plain._middlewares) == ()


async def test_fact_a_session_keeps_its_loop_where_we_look_and_warns_of_the_public_name() -> None:
    async with aiohttp.ClientSession() as session:
        assert session._loop is asyncio.get_running_loop()
        with pytest.warns(DeprecationWarning, match="loop property is deprecated"):
            assert session.loop is session._loop


def test_fact_a_payload_is_written_through_write() -> None:
    source = inspect.getsource(aiohttp.Payload.write_with_length)

    assert "await self.write(writer)" in source


async def test_fact_connection_errors_come_before_a_payload_is_asked_to_write(deaf: str) -> None:
    written = []

    class Payload(aiohttp.Payload):
        def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
            return ""

        async def write(self, writer: Any) -> None:
            written.append(writer)

    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.post(deaf, data=Payload(b""))

    assert written == []


@pytest.fixture
async def silent_server() -> AsyncIterator[Seen]:
    async with serving(silence) as seen:
        yield seen


async def test_fact_a_read_timeout_is_a_socket_timeout_error(silent_server: Seen) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_read=0.05)) as session:
        with pytest.raises(aiohttp.SocketTimeoutError):
            await session.post(silent_server.url, data=b"x")


async def test_fact_a_post_is_not_resent_by_aiohttp_when_a_kept_connection_is_closed() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer("200 OK", b"{}")
        await peer.request()

    async with serving(script) as seen, aiohttp.ClientSession() as session:
        async with session.post(seen.url, data=b"1") as response:
            await response.read()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.post(seen.url, data=b"2")

    assert [body for _, body in seen.requests] == [b"1", b"2"]


async def test_fact_garbage_is_a_response_error_with_a_status_no_server_sent() -> None:
    async with serving(garbage) as seen, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientResponseError) as raised:
            await session.post(seen.url, data=b"x")

    assert raised.value.status == 400


async def test_fact_a_key_added_in_a_middleware_is_not_in_the_start_and_end_hooks(sandbox: Sandbox) -> None:
    saw: list[str] = []

    async def hook(session: Any, context: Any, params: Any) -> None:
        saw.append(f"{params.url} {dict(params.headers)}")

    traces = aiohttp.TraceConfig()
    traces.on_request_start.append(hook)
    traces.on_request_end.append(hook)

    async def add(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.url = request.url.extend_query(api_key="hunter2")
        request.headers["Key"] = "hunter2"
        return await handler(request)

    async with (
        aiohttp.ClientSession(trace_configs=[traces]) as session,
        session.post(f"{sandbox.base_url}/sandbox/summary", middlewares=[add]) as response,
    ):
        shown = str(response.url)

    assert len(saw) == 2
    assert "hunter2" not in "".join([*saw, shown])


def test_an_attempt_shows_nothing_of_request_or_reply() -> None:
    assert "27821234567" not in repr(Attempt(Stage.SENT)) + repr(append())


def test_the_body_of_these_tests_is_json() -> None:
    assert json.loads(BODY) == [{"Number": "27821234567"}]
