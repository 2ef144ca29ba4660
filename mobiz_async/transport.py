"""One POST over the network. All exceptions of aiohttp end here.

How the pieces serve the verdicts:

* The query and the credentials are added in a client middleware, innermost, so that neither trace hooks nor other
  middlewares nor aiohttp's own messages see them; an exception that might quote the URL is replaced before it leaves
  the middleware, and so is a response that does, such as a redirect.
* The body goes out through a payload of ours (``upload``), which notes the moment before its first byte is handed over,
  the line between "not sent" and "unknown", and which is stopped when the attempt fails or is cancelled.
* No redirect is followed: 307 would carry the body and the key wherever ``Location`` points.
* An answer is taken for that of the request it came after, as HTTP has no other sign. So nothing goes out on a
  connection that has something on it already, none is used again after an answer that another may follow, and one that
  says "accepted" before the body was out is none.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Any, Protocol, Self
from weakref import WeakSet

import aiohttp
from yarl import URL

from mobiz_async.models import Credentials, Timeouts
from mobiz_async.patience import Patience
from mobiz_async.scrubbing import scrubber
from mobiz_async.upload import OnStage, Upload
from mobiz_async.verdicts import GAVE_UP_WAITING, Attempt, Failure, Stage
from mobiz_async.wire import API_KEY_PARAMETER, SUBSCRIPTION_HEADER, Reply, Request

__all__ = ["REPLY_CAP", "AiohttpTransport", "OnStage", "Transport"]

REPLY_CAP = 1 << 20
"""Bytes of a reply that are read, unless it is to a batch of more than a thousand triggers."""

_REPLY_PER_TRIGGER = 1 << 10
"""Bytes of a reply for each trigger of a batch. What the vendor documents is below 100, and ids may be longer."""

# Idle connections are dropped before common servers drop them: a request that meets a closing connection is unknown.
_KEEP_ALIVE = 15.0
_CONNECTIONS_TRIED = 3
"""For one attempt, where an answer is on them before it was sent. When one is found so, all that are in the pool may
be; the loop has read from all of them by the next one but one."""
_HEADERS_KEPT = ("retry-after", "date", "content-type")
_URLS_KEPT = 256


class Transport(Protocol):
    """How a request goes out. ``mobiz_async.testing.FakeTransport`` is the other implementation."""

    async def post(self, request: Request, on_stage: OnStage) -> Attempt:
        """Make one attempt. Call ``on_stage`` as it gets on; raise nothing but ``asyncio.CancelledError``."""
        ...

    async def aclose(self) -> None:
        """Release what is held. Harmless a second time."""
        ...


class AttemptError(Exception):
    """Stands in for what must not be seen outside the middleware.

    That is a foreign exception, whose text may hold the URL and so the key; or a response whose headers do, of which
    ``reply`` is what we need.
    """

    def __init__(self, failure: Failure | None, reply: Reply | None = None) -> None:
        super().__init__("the answer was read" if failure is None else failure.value)
        self.failure = failure
        self.reply = reply


# Read from the top: several of these are subclasses of later ones.
FAILURE_OF: tuple[tuple[type[BaseException], Failure], ...] = (
    (aiohttp.ConnectionTimeoutError, Failure.CONNECT_TIMEOUT),
    (aiohttp.ClientConnectorCertificateError, Failure.CERTIFICATE),
    (aiohttp.ServerFingerprintMismatch, Failure.CERTIFICATE),
    (aiohttp.ClientConnectorError, Failure.CONNECT),
    (aiohttp.ClientHttpProxyError, Failure.PROXY),
    (TimeoutError, Failure.TIMEOUT),
    (aiohttp.ClientPayloadError, Failure.TRUNCATED),
    (aiohttp.ClientResponseError, Failure.GARBAGE),
    (aiohttp.ClientConnectionError, Failure.DISCONNECTED),
    (OSError, Failure.DISCONNECTED),
)


def _is_cancelled() -> bool:
    """Whether somebody cancelled this task, and not what it waits for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def failure_of(error: BaseException) -> Failure:
    """Return our word for a foreign exception. It explains; it proves nothing: the stage does that."""
    return next((failure for kind, failure in FAILURE_OF if isinstance(error, kind)), Failure.OTHER)


def _another_may_follow(status: int) -> bool:
    """Whether who answered may only have given up waiting for somebody else, and pass that one's answer on too."""
    return status >= 500 or status in GAVE_UP_WAITING  # noqa: PLR2004  HTTP's own number reads best


def _use_no_more(response: aiohttp.ClientResponse, body: Upload) -> None:
    """Have the connection of ``response`` closed behind it.

    It is called before anybody else has had a turn: a connection whose answer came whole is in the pool already, and
    nobody has taken it from there.
    """
    connection = response.connection
    if connection is not None and connection.protocol is not None:
        connection.protocol.force_close()
    else:
        body.stop()


class AiohttpTransport:
    """``Transport`` over aiohttp.

    The session is made at the first request, inside the running loop, and closed by ``aclose``; one that was handed in
    is used with its connector, proxy, TLS settings and middlewares, and never closed.
    """

    def __init__(
        self,
        credentials: Credentials,
        base_url: URL,
        timeouts: Timeouts,
        session: aiohttp.ClientSession | None = None,
        *,
        proxy: URL | None = None,
        expect_continue: bool = False,
    ) -> None:
        """Hold the settings; no I/O happens here.

        ``proxy``: to go through, unless the session is handed in.
        ``expect_continue``: send the body only after the server's ``100 Continue`` (RFC 9110, 10.1.1). A server that
        goes away before it is then proven not to have had the body; one that never answers it costs the whole timeout.
        """
        self._credentials = credentials
        self._base_url = base_url
        self._stall = timeouts.upload_stall
        self._timeouts = timeouts
        self._timeout = aiohttp.ClientTimeout(connect=timeouts.connect, sock_connect=timeouts.connect)
        self._expect_continue = expect_continue
        self._proxy = proxy
        self._session = session
        self._owned = session is None
        self._scrub = scrubber(credentials.api_key, credentials.subscription_key)
        self._addresses: dict[str, URL] = {}
        self._urls: dict[tuple[str, ...], URL] = {}
        self._under_way: set[Upload] = set()
        self._used: WeakSet[Any] = WeakSet()
        """The protocols (aiohttp's objects for connections) of connections that have carried a request already."""
        self._process = os.getpid()
        self._closed = False

    def __repr__(self) -> str:
        return f"AiohttpTransport({str(self._base_url)!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Libraries that stand in for the network copy what a session is called with, as far as that can be copied.
        raise TypeError("a transport cannot be copied: its session belongs to it, and its event loop to the session")

    async def post(self, request: Request, on_stage: OnStage) -> Attempt:
        """Make one attempt; see ``Transport.post``."""
        for _ in range(_CONNECTIONS_TRIED):
            attempt = await self._post(request, on_stage)
            if attempt.failure is not Failure.STALE:
                break
        return attempt

    async def _post(self, request: Request, on_stage: OnStage) -> Attempt:
        unsent = Failure.CLOSED if self._closed else self._wrong_session()
        if unsent is not None:
            return Attempt(Stage.QUEUED, failure=unsent)
        session = self._open_session()
        stage = Stage.QUEUED

        patience = Patience(self._timeouts)

        def reached(new: Stage) -> None:
            nonlocal stage
            stage = new
            if new is Stage.SENT:
                patience.heard()
            on_stage(new)

        reached(Stage.CONNECTING)
        body = Upload(request.body, reached, self._stall, self._used, self._process)
        self._under_way.add(body)
        reply: Reply | None = None
        failure: Failure | None = None
        try:
            async with (
                patience,
                session.post(
                    self._address(request.path),
                    data=body,
                    timeout=self._timeout,
                    allow_redirects=False,
                    raise_for_status=False,
                    expect100=self._expect_continue,
                    middlewares=(
                        *session._middlewares,  # noqa: SLF001  there is no public way to chain to the session's own
                        partial(self._complete_request, request, body, patience),
                    ),
                ) as response,
            ):
                reply = await self._read(response, request, patience)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                body.stop()
                # Without the frames of aiohttp, whose locals hold the URL: error trackers print locals.
                raise error.with_traceback(None)  # noqa: B904  it is the same one
            failure = self._lost(stage)
        except AttemptError as error:
            reply, failure = error.reply, error.failure
        except Exception as error:  # noqa: BLE001  a user's middleware may raise anything; the stage alone proves
            failure = failure_of(error)
        finally:
            self._under_way.discard(body)
        if failure is Failure.TIMEOUT and body.stalled:
            failure = Failure.UPLOAD_STALLED
        failure = self._misplaced(body, reply) or failure
        if not body.complete or failure is not None:
            body.stop()
        return Attempt(stage, None if failure is not None else reply, failure)

    def _misplaced(self, body: Upload, reply: Reply | None) -> Failure | None:
        """Return why there can be no answer to ``body``, or why ``reply`` is none; None where it may be one."""
        if not body.asked_for:
            return None  # the session did not ask the network: it has answers of its own, as in a test
        if body.stale or (reply is not None and self._out_of_turn(body)):
            return Failure.STALE
        accepts = reply is not None and reply.status // 100 == 2  # noqa: PLR2004  2xx
        return Failure.EARLY if accepts and not body.last_begun else None

    def _out_of_turn(self, body: Upload) -> bool:
        """Whether an answer that came is one to nothing: headers go out with the body, unless that waits for a 100."""
        return not body.begun and not self._expect_continue

    def _lost(self, stage: Stage) -> Failure:
        """Return why a wait of aiohttp's own was cancelled, as its name look-ups are when the session closes."""
        if stage >= Stage.SENDING:
            return Failure.DISCONNECTED
        return Failure.CLOSED if self._closed else Failure.CONNECT

    async def _read(self, response: aiohttp.ClientResponse, asked: Request, patience: Patience) -> Reply:
        # A reply that is cut is an unknown outcome, so it may be as long as what was asked makes it.
        cap = max(REPLY_CAP, _REPLY_PER_TRIGGER * asked.records) if asked.operation.is_trigger else REPLY_CAP
        headers = {name: response.headers[name] for name in _HEADERS_KEPT if name in response.headers}
        body = bytearray()
        patience.heard()
        try:
            while part := await response.content.readany():
                body += part
                patience.heard()
                if len(body) > cap:
                    response.close()
                    break
        except (aiohttp.ClientError, OSError, asyncio.CancelledError) as error:
            broken_off = isinstance(error, asyncio.CancelledError) and not patience.ran_out()
            if broken_off or response.status // 100 == 2:  # noqa: PLR2004  2xx: only the body could prove acceptance
                raise
            body.clear()
        # A gateway may quote the URL back at us; the key goes no further than this.
        return Reply(response.status, headers, self._scrub(bytes(body[:cap])))

    async def _complete_request(
        self,
        asked: Request,
        body: Upload,
        patience: Patience,
        request: aiohttp.ClientRequest,
        handler: aiohttp.ClientHandlerType,
    ) -> aiohttp.ClientResponse:
        """Add the query and the credentials; let nothing out that shows them."""
        request.url = self._url(asked)
        request.headers[SUBSCRIPTION_HEADER] = self._credentials.subscription_key.reveal()
        body.asked_for = True
        reply: Reply | None = None
        failure: Failure | None = None
        try:
            response = await handler(request)
            if self._out_of_turn(body) or _another_may_follow(response.status):
                _use_no_more(response, body)
            if not self._quotes_us(response):
                return response
            async with response:
                reply = await self._read(response, asked, patience)
        except Exception as error:  # noqa: BLE001  whatever it is, its text may hold the URL
            failure = failure_of(error)
        # Raised outside the except block: "from None" would hide the original but keep it in __context__.
        raise AttemptError(failure, reply)

    def _quotes_us(self, response: aiohttp.ClientResponse) -> bool:
        """Whether the headers show the key, or a redirect's ``Location`` the query; trace hooks print responses."""
        values = b"\n".join([value for _, value in response.raw_headers])
        return self._scrub(values) != values or response.status // 100 == 3  # noqa: PLR2004  3xx

    def _address(self, path: str) -> URL:
        if path not in self._addresses:
            self._addresses[path] = self._base_url.joinpath(*path.split("/")[1:], encoded=True)
        return self._addresses[path]

    def _url(self, asked: Request) -> URL:
        # Parsing URLs is a sizeable part of a small request's cost, and a client uses few of them again and again.
        known = (asked.path, *asked.query, *asked.query.values())
        if known not in self._urls:
            if len(self._urls) >= _URLS_KEPT:
                self._urls.clear()
            self._urls[known] = self._address(asked.path).update_query(
                {**asked.query, API_KEY_PARAMETER: self._credentials.api_key.reveal()}
            )
        return self._urls[known]

    def check(self) -> None:
        """Raise ``RuntimeError`` where the session that was handed in is closed, or belongs to another event loop."""
        if (why := self._wrong_session()) is not None:
            raise RuntimeError(f"{why}: hand in one of the client's own event loop, and close it after the client")

    def _wrong_session(self) -> Failure | None:
        session = self._session
        # Asked for its loop by the public name, a session warns that this is deprecated.
        if session is not None and session._loop is not asyncio.get_running_loop():  # noqa: SLF001
            return Failure.SESSION_ELSEWHERE
        return Failure.SESSION_CLOSED if session is not None and session.closed else None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=self._proxy,
            )
        return self._session

    async def aclose(self) -> None:
        """Close the session if it is ours, and cut off what is still under way. Harmless a second time."""
        self._closed = True
        for body in self._under_way:
            # Closing the session alone would go on delivering what this machine still holds of it.
            body.stop()
        session, self._session = self._session, None
        if session is not None and self._owned:
            await session.close()
