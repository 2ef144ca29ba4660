"""The sandbox: a local server that behaves like the documented API and the gateway in front of it."""

from __future__ import annotations

import asyncio
import collections
import hashlib
import os
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from aiohttp import web

from mobiz_async.models import MAX_RECORDS_PER_APPEND, DataList
from mobiz_async.sandbox import inbox
from mobiz_async.sandbox.faults import Faults
from mobiz_async.sandbox.gateway import Elsewhere, Gateway
from mobiz_async.sandbox.ledger import Ledger, SeenMessage, SeenRequest
from mobiz_async.sandbox.limits import Limit
from mobiz_async.sandbox.logfile import AppliedLog
from mobiz_async.sandbox.misconduct import close
from mobiz_async.sandbox.operations import Operations, message_id
from mobiz_async.sandbox.timing import Progress, SandboxClock, SystemTime

__all__ = ["Sandbox"]

_SLICE = MAX_RECORDS_PER_APPEND
"""Of records counted at a time: it takes the loop no longer than one append does."""


class _Server(web.Server):
    """Tells ``Progress`` of each connection lost.

    aiohttp's own ``handler_cancellation`` would cancel a request wherever it is, and the truth about a body that had
    arrived in full would hang on a race. Here only a fault's hold ends.
    """

    def __init__(self, handler: Callable[..., Any], progress: Progress, **settings: Any) -> None:
        super().__init__(handler, **settings)
        self._progress = progress

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        self._progress.gone(handler.transport)
        super().connection_lost(handler, exc)


class Sandbox:
    """A local Mobiz, and the ground truth about what it applied.

    ``async with Sandbox() as sandbox:`` listens on ``sandbox.base_url``; a list with id "1" and without a definition
    exists from the start, as does the trigger key "sandbox-trigger". Settings:

    ``ssl_context``: with a certificate of yours, to be https; who sends must trust that. ``rate_limit``, ``quota``: a
    ``RateLimit``, ``EveryNth`` or ``Quota`` of the gateway. ``faults``: a ``Faults`` schedule; it can be exchanged at
    any time by assigning ``sandbox.faults``. ``log``: the path of a file that gets a line, fsynced, for each applied
    request before it is answered. ``identity``: the field by which records are told apart in the log and in the counts,
    the phone field by default. ``atomic=False``: an append with bad records is refused and yet applied for its good
    ones. ``empty_202``: triggers answer 202 with an empty body. ``rejection_status``: one HTTP status for every
    rejection by the API (200, say) instead of a fitting one. ``max_body``: bytes above which the gateway answers 413.
    ``keep_records``, ``keep_requests``: how many bodies' records and how many requests are remembered in full (None:
    all); totals and counts are exact whatever they are.
    """

    def __init__(
        self,
        *,
        api_key: str = "sandbox-api-key",
        subscription_key: str = "sandbox-subscription-key",
        username: str = "sandbox-user",
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        trigger_keys: Iterable[str] = ("sandbox-trigger",),
        rate_limit: Limit | None = None,
        quota: Limit | None = None,
        faults: Faults | None = None,
        log: str | os.PathLike[str] | None = None,
        identity: str | None = None,
        atomic: bool = True,
        empty_202: bool = False,
        rejection_status: int | None = None,
        max_body: int = 16 * 1024 * 1024,
        keep_records: int | None = 10_000,
        keep_requests: int | None = 100_000,
        clock: SandboxClock | None = None,
    ) -> None:
        """Take the settings; nothing listens before ``async with``."""
        clock = clock or SystemTime()
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._log_path = log
        self._ledger = Ledger(keep_records, keep_requests)
        self._operations = Operations(
            api_key=api_key,
            username=username,
            trigger_keys=set(trigger_keys),
            ledger=self._ledger,
            wall=clock.wall,
            identity=identity,
            atomic=atomic,
            empty_202=empty_202,
            rejection_status=rejection_status,
        )
        self._operations.add_list(None, "1", "Pre-seeded")
        self._progress = Progress(clock)
        self._gateway = Gateway(
            subscription_key=subscription_key,
            limits=[limit for limit in (rate_limit, quota) if limit is not None],
            max_body=max_body,
            clock=clock,
            ledger=self._ledger,
            operations=self._operations,
            progress=self._progress,
            own_page=self._own_page,
            faults=faults,
        )
        self._runner: web.ServerRunner | None = None
        self._socket: socket.socket | None = None

    # Lifecycle

    async def __aenter__(self) -> Self:
        """Listen. Raise OSError where the port is taken or the log cannot be opened."""
        if self._log_path is not None:
            self._operations.log = AppliedLog(self._log_path)
        self._bind()
        server = _Server(
            self._gateway.handle, self._progress, access_log=None, auto_decompress=False, read_bufsize=1 << 19
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of what is held, close every connection and stop listening. What was seen stays readable."""
        self.release()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._socket is not None:
            self._socket.close()
        if self._operations.log is not None:
            self._operations.log.close()
        self._runner = self._socket = None

    @property
    def base_url(self) -> str:
        """The root of the API, such as ``http://127.0.0.1:40123``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        scheme = "http" if self._ssl_context is None else "https"
        return f"{scheme}://{host}:{self._port}"

    def _bind(self) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self._host, self._port))
        except BaseException:
            bound.close()
            raise
        self._socket, self._port = bound, bound.getsockname()[1]

    async def refuse(self) -> None:
        """Refuse new connections, and end those that no request is using, until ``accept``.

        The port stays ours: a socket is bound to it that does not listen.
        """
        runner = self._running()
        self._gateway.closing = True
        for site in list(runner.sites):
            await site.stop()
        if self._socket is None:
            self._bind()
        for protocol in runner.server.connections if runner.server is not None else ():
            if protocol.transport is not None and protocol.transport not in self._gateway.busy:
                close(protocol.transport)

    async def accept(self) -> None:
        """Take connections, again after ``refuse``. Without effect while it does."""
        runner = self._running()
        self._gateway.closing = False
        if self._socket is not None:
            site = web.SockSite(runner, self._socket, ssl_context=self._ssl_context)
            self._socket = None  # the site closes it
            await site.start()

    def _running(self) -> web.ServerRunner:
        if self._runner is None:
            raise RuntimeError("the sandbox is not running: use it within 'async with'")
        return self._runner

    def release(self) -> None:
        """Let go of every request that a fault is holding back. Later ones are held again."""
        self._progress.release()

    @property
    def held(self) -> int:
        """How many requests a fault is holding back at the moment; one whose peer has gone is no longer among them."""
        return self._progress.held

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as ``condition()`` holds; it is asked again whenever anything arrives or is settled."""
        await self._progress.until(condition)

    @property
    def faults(self) -> Faults | None:
        """The schedule of faults, or None; assign another at any time."""
        return self._gateway.faults

    @faults.setter
    def faults(self, faults: Faults | None) -> None:
        self._gateway.faults = faults

    @property
    def elsewhere(self) -> Elsewhere:
        """What arrived at the place that the redirects point to."""
        return self._gateway.elsewhere

    # What is there, and what was applied

    def add_list(self, definition: Mapping[str, str] | None = None, *, id: str | int | None = None) -> DataList:  # noqa: A002  # the vendor's word
        """Create a list directly. Without a definition its records need a ``Number`` and are not checked further."""
        return self._operations.add_list(definition, None if id is None else str(id))

    @property
    def lists(self) -> Mapping[str, DataList]:
        """The lists by id."""
        return self._operations.lists

    @property
    def requests(self) -> tuple[SeenRequest, ...]:
        """The API requests in order of arrival, the latest ``keep_requests``."""
        return tuple(self._ledger.requests.values())

    @property
    def early(self) -> tuple[SeenRequest, ...]:
        """The POSTs that brought the same body again before the Retry-After it had been given was over."""
        return tuple(request for request in self.requests if request.early_by > 0)

    @property
    def applied_total(self) -> int:
        """Records applied, over all lists and triggers, each time it was applied."""
        return self._ledger.applied_records

    def applied(self, list_id: DataList | str | int) -> collections.Counter[str]:
        """Return how often each phone number (or ``identity``) was applied to a list."""
        return self._counter(("list", str(list_id.id if isinstance(list_id, DataList) else list_id)))

    def triggered(self, trigger_key: str = "sandbox-trigger") -> collections.Counter[str]:
        """Return how often each phone number was applied under a trigger key."""
        return self._counter(("trigger", trigger_key))

    def _counter(self, key: tuple[str, str]) -> collections.Counter[str]:
        stream = self._ledger.streams.get(key)
        return collections.Counter(stream.column.texts() if stream else ())

    def applied_by(self, request: SeenRequest | int) -> tuple[str, ...]:
        """Return the phone numbers (or identities) that one request applied, in order."""
        number = request.number if isinstance(request, SeenRequest) else request
        return tuple(
            text
            for stream in self._ledger.streams.values()
            for run in stream.runs
            if run.request == number
            for text in stream.column.texts(run.start, run.start + run.count)
        )

    def times_applied(self, digest: str | bytes) -> int:
        """Return how often a body was applied: by its SHA-256 in hexadecimal, or the body itself as bytes."""
        return self._ledger.times(digest if isinstance(digest, str) else hashlib.sha256(digest).hexdigest())

    def records(self, list_id: DataList | str | int) -> list[dict[str, Any]]:
        """Return the records applied to a list; LookupError where there were more than ``keep_records``."""
        return self._ledger.records(("list", str(list_id.id if isinstance(list_id, DataList) else list_id)))

    @property
    def messages(self) -> tuple[SeenMessage, ...]:
        """The messages of triggers that were applied, with their ids and ``send_time``."""
        return self._ledger.messages(message_id)

    @property
    def latest(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The last few records applied, each after "list" or "trigger"."""
        return list(self._ledger.latest)

    def summary(self) -> dict[str, Any]:
        """Return the totals, as ``GET /sandbox/summary`` answers them."""
        return inbox.summary(self._ledger, self._operations.lists, self.held)

    async def _own_page(self, path: str) -> web.Response:
        return await inbox.page(path, self, self._tallied)

    async def _tallied(self) -> None:
        """Return when ``summary`` costs nothing more: what was applied before anybody looked is counted in slices."""
        while self._ledger.catch_up(_SLICE):  # noqa: ASYNC110  # nothing is waited for: others get their turn
            await asyncio.sleep(0)
