"""How each fault is carried out on the socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import assert_never

import attrs
from aiohttp import web

from mobiz_async.models import ResultCode
from mobiz_async.sandbox import answers
from mobiz_async.sandbox.answers import Answer
from mobiz_async.sandbox.faults import Fault, Injection
from mobiz_async.sandbox.operations import TRIGGER

__all__ = ["ELSEWHERE", "Cut", "Situation", "close", "finish", "misbehave", "reset", "send"]

ELSEWHERE = "/sandbox/elsewhere"
"""Where the redirects point. What arrives there is counted."""

_HTML = "text/html; charset=utf-8"


@attrs.frozen
class Cut:
    """The connection goes: ``raw`` bytes first, then FIN, or RST where ``rst``."""

    raw: bytes = b""
    rst: bool = False


@attrs.frozen
class Situation:
    """What a fault may need to know: the answer the API would have given, and how to wait."""

    path: str
    target: str
    """Path and query as they came."""
    host: str
    wall: float
    answer: Answer
    hold: Callable[[float | None], Awaitable[None]]
    """Waits so many seconds, or for ever (None), or until the sandbox lets go."""


async def misbehave(injection: Injection, at: Situation) -> Answer | Cut:  # noqa: C901, PLR0912  # one row a fault
    """Return what goes back to the peer under a fault that comes after the body."""
    match injection.fault:
        case Fault.CLOSE_BEFORE_READING | Fault.CLOSE_AFTER_APPLY:
            return Cut()
        case Fault.RESET_MID_BODY | Fault.RESET_UNAPPLIED | Fault.RESET_AFTER_APPLY:
            return Cut(rst=True)
        case Fault.HANG_UNAPPLIED | Fault.HANG_AFTER_APPLY:
            await at.hold(None)
            return Cut()
        case Fault.SLOW_ANSWER:
            await at.hold(injection.delay)
            return at.answer
        case Fault.EARLY_413:
            return attrs.evolve(answers.gateway(413, "Request Entity Too Large"), headers={"Connection": "close"})
        case Fault.ERROR_500_UNAPPLIED | Fault.ERROR_500_AFTER_APPLY:
            return answers.gateway(500, "Internal server error", activityId="0a1b2c3d-0000-4000-8000-5a6b7c8d9e0f")
        case Fault.ERROR_502_AFTER_APPLY:
            page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
            return Answer(502, page, _HTML)
        case Fault.ERROR_504_AFTER_APPLY:
            return answers.gateway(504, "Gateway Timeout")
        case Fault.UNAVAILABLE | Fault.UNAVAILABLE_AFTER_APPLY:
            return answers.unavailable(None)
        case Fault.UNAVAILABLE_RETRY_AFTER:
            return answers.unavailable(injection.retry_after)
        case Fault.TRUNCATED_AFTER_APPLY:
            body = at.answer.body
            return Cut(_head(b"200 OK", len(body)) + body[: len(body) // 2])
        case Fault.GARBAGE_AFTER_APPLY:
            return Cut(b"\x16\x03\x01 this is not HTTP \x00\xff\r\n\r\n")
        case Fault.HALF_STATUS_LINE_AFTER_APPLY:
            return Cut(b"HTTP/1.1 20")
        case Fault.HTML_200_AFTER_APPLY:
            return Answer(200, b"<!doctype html><title>Sign in</title><p>Sign in to use this network.</p>", _HTML)
        case Fault.FIELDLESS_200_AFTER_APPLY:
            return Answer(200, b'{"result": "ok"}')
        case Fault.EMPTY_200_AFTER_APPLY:
            return Answer(200)
        case Fault.EMPTY_202:
            return Answer(202)
        case Fault.FEWER_IDS:
            return _one_id_less(at.answer)
        case Fault.CLOSE_AFTER_ANSWER | Fault.CLOSE_ON_REUSE:
            return at.answer
        case Fault.THROTTLE:
            return answers.throttled(injection.retry_after)
        case Fault.THROTTLE_DATE:
            return answers.throttled_until(at.wall, injection.retry_after)
        case Fault.THROTTLE_BARE:
            return answers.gateway(429, "Rate limit is exceeded.")
        case Fault.UNAUTHORIZED:
            return answers.unauthorized(at.host, missing=False)
        case Fault.QUOTA:
            return answers.quota(injection.retry_after)
        case Fault.REDIRECT_301 | Fault.REDIRECT_307:
            status = 301 if injection.fault is Fault.REDIRECT_301 else 307
            query = at.target.partition("?")[2]
            return Answer(status, headers={"Location": f"{ELSEWHERE}?{query}"})
        case Fault.REJECTED_200:
            if at.path == TRIGGER:
                return answers.trigger_answer(ResultCode.INVALID_CUSTOMER, "ref-rejected", []).under(200)
            return answers.list_answer(0, "Data not appended")
        case Fault.ERROR_400_LOGIC_APPS:
            error = {"error": {"code": "InvalidRequestContent", "message": "The request content is not valid."}}
            return Answer(400, json.dumps(error).encode())
        case _:
            assert_never(injection.fault)


def _head(status: bytes, length: int) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, length)


def _one_id_less(answer: Answer) -> Answer:
    value = json.loads(answer.body or b"{}")
    if not value.get("Message_Status"):
        return answer  # a list operation, or a sandbox that answers triggers with nothing
    value["Message_Status"].pop()
    return attrs.evolve(answer, body=json.dumps(value).encode())


def reset(transport: asyncio.Transport | None) -> None:
    """End a connection with RST: a linger of 0 seconds throws away what was not sent."""
    if transport is not None:
        with contextlib.suppress(OSError, ValueError):  # how one loop or another says: closed already
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def close(transport: asyncio.BaseTransport | None) -> None:
    """End a connection with FIN, after what was written."""
    if transport is not None:
        transport.close()


def finish(request: web.BaseRequest, cut: Cut) -> web.Response:
    """Carry out a ``Cut``; what is returned is never sent, as the connection is gone."""
    transport = request.transport
    if cut.raw and transport is not None:
        transport.write(cut.raw)
    (reset if cut.rst else close)(transport)
    return web.Response()


async def send(request: web.BaseRequest, answer: Answer, *, then_close: bool) -> web.Response:
    """Return the HTTP response; with ``then_close`` it is sent at once and the connection closed behind it."""
    response = web.Response(
        status=answer.status,
        body=answer.body,
        headers={"Content-Type": answer.content_type, **answer.headers} if answer.body else answer.headers,
    )
    if then_close:
        with contextlib.suppress(ConnectionError):
            await response.prepare(request)
            await response.write_eof()
        close(request.transport)
    return response
