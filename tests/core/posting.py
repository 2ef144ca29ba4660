"""One POST by a transport, and what is told of it; hosts that cannot be found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp.abc import AbstractResolver

from mobiz_async.encoding import encode
from mobiz_async.transport import AiohttpTransport
from mobiz_async.verdicts import Failure, Judged, Stage, Verdict, classify
from mobiz_async.wire import Request, append_request

Make = Callable[..., AiohttpTransport]
BODY = encode([{"Number": "27821234567"}])
MIB = 1 << 20


def append(body: bytes = BODY) -> Request:
    return append_request("1", body, 1)


async def posted(transport: AiohttpTransport, request: Request | None = None) -> tuple[Judged, list[Stage]]:
    """Make one attempt; return what it proved and the stages it went through."""
    stages: list[Stage] = []
    request = request or append()
    attempt = await transport.post(request, stages.append)
    return classify(request.operation, attempt), stages


def told(judged: Judged) -> tuple[Stage, Failure | None, Verdict]:
    return judged.attempt.stage, judged.attempt.failure, judged.verdict


class NoSuchHost(AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: int = 0) -> Any:
        raise OSError(None, f"no such host: {host}")

    async def close(self) -> None:
        return


class SlowHost(NoSuchHost):
    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> Any:
        self.asked.set()
        await asyncio.Event().wait()
