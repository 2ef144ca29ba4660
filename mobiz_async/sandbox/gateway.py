"""A request's way through the sandbox: read, checked at the gateway, decided, applied or not, answered or spoilt.

    arrival ─ fault picked ─ body read ─ keys, limits ─ Operations.decide ─ applied? ─ answer, or what a fault sends

A request is taken down at its arrival and again at each step, so that it can be looked at while a fault holds it back.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError
from attrs.validators import deep_iterable, instance_of, optional

from mobiz_async.sandbox import answers
from mobiz_async.sandbox.answers import Answer
from mobiz_async.sandbox.faults import Fault, Faults, Injection
from mobiz_async.sandbox.ledger import Ledger
from mobiz_async.sandbox.limits import Backoff, Limit
from mobiz_async.sandbox.misconduct import ELSEWHERE, Cut, Situation, finish, misbehave, send
from mobiz_async.sandbox.operations import PATHS, Acceptance, Operations, Refusal
from mobiz_async.sandbox.payloads import BadPayloadError, parse_query
from mobiz_async.sandbox.timing import Progress, SandboxClock

__all__ = ["Elsewhere", "Gateway"]

_KEYS = frozenset({"api_key", "trigger_key"})
_ONLY_ACCEPTED = frozenset({Fault.EMPTY_202, Fault.FEWER_IDS})
"""Faults in how an acceptance is worded: a refusal stays the refusal that it is."""


@attrs.define
class Elsewhere:
    """What arrived at the place that the redirects point to."""

    posts: int = 0
    others: int = 0
    bytes: int = 0


@attrs.define(eq=False)
class Gateway:
    """Handles the requests of one sandbox."""

    subscription_key: str = attrs.field(repr=False)
    limits: list[Limit] = attrs.field(validator=deep_iterable(instance_of(Limit)))  # type: ignore[type-abstract]  # checkable
    max_body: int
    clock: SandboxClock
    ledger: Ledger
    operations: Operations
    progress: Progress
    own_page: Callable[[str], Awaitable[web.Response]]
    faults: Faults | None = attrs.field(default=None, validator=optional(instance_of(Faults)))
    closing: bool = False
    """Whether each connection is closed behind its answer."""
    elsewhere: Elsewhere = attrs.field(factory=Elsewhere)
    busy: collections.Counter[Any] = attrs.field(factory=collections.Counter)
    """The transports that a request is using."""
    _doomed: set[asyncio.BaseTransport] = attrs.field(factory=set)
    """Those that are closed under their next request."""
    _backoff: Backoff = attrs.field(factory=Backoff)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, or not, as the settings have it."""
        path, _, raw_query = request.raw_path.partition("?")
        transport = request.transport
        if transport is None:  # the peer has gone before its request was looked at
            return web.Response()
        self.busy[transport] += 1
        try:
            if path == ELSEWHERE:
                return await self._count_elsewhere(request)
            if path == "/" or path.startswith("/sandbox"):
                return await self.own_page(path)
            return await self._api(request, transport, path, raw_query)
        finally:
            del self.busy[transport]
            self.progress.changed()

    async def _count_elsewhere(self, request: web.BaseRequest) -> web.Response:
        if request.method == "POST":
            self.elsewhere.posts += 1
        else:
            self.elsewhere.others += 1
        async for chunk in request.content.iter_any():
            self.elsewhere.bytes += len(chunk)
        return web.json_response({"status": 1, "message": "Data Appended"})

    async def _api(
        self, request: web.BaseRequest, transport: asyncio.BaseTransport, path: str, raw_query: str
    ) -> web.StreamResponse:
        arrived = self.clock.monotonic()
        problem: Answer | None = None
        try:
            query = parse_query(raw_query)
        except BadPayloadError as error:
            query, problem = {}, answers.gateway(400, f"Bad request: {error}")
        shown = {name: text for name, text in query.items() if name not in _KEYS}
        number = self.ledger.begin(self.clock.wall(), request.method, path, shown).number
        self.progress.changed()
        if transport in self._doomed:
            self._settle(number, fault=Fault.CLOSE_ON_REUSE)
            return finish(request, Cut())
        is_send = request.method == "POST" and path in PATHS
        injection = self.faults.pick(path) if self.faults is not None and is_send else None
        if injection is not None:
            self._settle(number, fault=injection.fault)
        outcome = await self._read(request, injection)
        digest = ""
        misbehaves = injection is not None and not injection.fault.reads_body and isinstance(outcome, Cut)
        if isinstance(outcome, bytes):
            digest = hashlib.sha256(outcome).hexdigest()
            early_by, during = self._backoff.early(digest, arrived) if is_send else (0.0, 0.0)
            self._settle(number, size=len(outcome), digest=digest, early_by=early_by, during_backoff=during)
            problem = problem or self._check(request, path, arrived)
            # From here on nothing has the body or its records in hand: a fault may hold the request for hours.
            outcome, applied = self._carry_out(path, query, outcome, problem, injection, number, digest)
            misbehaves = injection is not None and (applied or injection.fault not in _ONLY_ACCEPTED)
        if injection is not None and misbehaves:
            answer = outcome if isinstance(outcome, Answer) else Answer(500)
            outcome = await misbehave(injection, self._situation(request, transport, path, answer))
        return await self._respond(request, transport, injection, outcome, number, digest)

    def _settle(self, number: int, **changes: Any) -> None:
        self.ledger.update(number, **changes)
        self.progress.changed()

    async def _read(self, request: web.BaseRequest, injection: Injection | None) -> bytes | Answer | Cut:
        """Return the whole body; or an answer to one that is too large; or a ``Cut`` where reading ended early."""
        if injection is not None and injection.fault in (Fault.CLOSE_BEFORE_READING, Fault.EARLY_413):
            return Cut()
        length = request.content_length or 0
        if length > self.max_body:
            return answers.gateway(413, "Request Entity Too Large")
        stop = self.max_body
        midway = injection is not None and injection.fault is Fault.RESET_MID_BODY
        if midway:
            stop = length // 2
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in request.content.iter_any():
                chunks.append(chunk)
                size += len(chunk)
                if size > stop:
                    return Cut() if midway else answers.gateway(413, "Request Entity Too Large")
        except (ClientError, ConnectionError, HttpProcessingError, web.RequestPayloadError):
            return Cut()  # the peer went away in the middle of its body: nothing can be applied
        return Cut() if midway else b"".join(chunks)

    def _check(self, request: web.BaseRequest, path: str, now: float) -> Answer | None:
        """Return what stops a request at the gateway, or None."""
        if path not in PATHS or request.method != "POST":
            return answers.gateway(404, "Resource not found")  # API Management: a wrong method matches no operation
        given = request.headers.get("Ocp-Apim-Subscription-Key")
        if given != self.subscription_key:
            return answers.unauthorized(f"{request.scheme}://{request.host}", missing=not given)
        if request.content_type != "application/json" or "Content-Encoding" in request.headers:
            return answers.gateway(415, "Unsupported Media Type")
        refusals = (limit.check(now) for limit in self.limits)
        return next((refusal for refusal in refusals if refusal is not None), None)

    def _situation(
        self, request: web.BaseRequest, transport: asyncio.BaseTransport, path: str, answer: Answer
    ) -> Situation:
        return Situation(
            path=path,
            target=request.raw_path,
            host=f"{request.scheme}://{request.host}",
            wall=self.clock.wall(),
            answer=answer,
            hold=functools.partial(self.progress.hold, transport),
        )

    def _carry_out(
        self,
        path: str,
        query: Mapping[str, str],
        body: bytes,
        problem: Answer | None,
        injection: Injection | None,
        number: int,
        digest: str,
    ) -> tuple[Answer, bool]:
        """Apply what is to be applied; return the API's answer, and whether anything was."""
        decision = Refusal(problem) if problem else self.operations.decide(path, query, body)
        answer, applied, count = Answer(500), False, 0
        match decision:
            case Refusal(refusal):
                answer = refusal
            case Acceptance(_, apply) if injection is None or injection.fault.applied:
                (answer, count), applied = apply(number, digest), True
        self._settle(number, records=decision.posted, applied=applied, applied_records=count)
        return answer, applied

    async def _respond(
        self,
        request: web.BaseRequest,
        transport: asyncio.BaseTransport,
        injection: Injection | None,
        outcome: Answer | Cut,
        number: int,
        digest: str,
    ) -> web.StreamResponse:
        fault = None if injection is None else injection.fault
        if fault is Fault.CLOSE_ON_REUSE:
            self._doomed = {each for each in self._doomed if not each.is_closing()} | {transport}
        if isinstance(outcome, Cut):
            self._settle(number)
            return finish(request, outcome)
        self._settle(number, status=outcome.status)
        if outcome.retry_after is not None:
            self._backoff.told(digest, self.clock.monotonic(), outcome.retry_after)
        return await send(request, outcome, then_close=self.closing or fault is Fault.CLOSE_AFTER_ANSWER)
