"""The other end of the line: takes every POST, drops the body, answers what its sender expects, as cheaply as it can.

    python -m benchmarks.sink [--delay SECONDS]

Prints its port on a line of its own and serves until its standard input is closed. It checks nothing; a model of the
service is `mobiz sandbox`. Known paths are the list append, the trigger and Elasticsearch's `_bulk`.
"""

import argparse
import asyncio
import sys

from typing_extensions import Buffer

_BUFFER = 1 << 20
_APPENDED = b'{"status": 1, "message": "Data Appended"}'
_MESSAGE = b'{"Message_Id": "m-0123456789abcdef", "Status": "SUBMITTED"}'
_TRIGGERED = (
    b'{"Message_Status": [%s], "Reference": "r-0123456789abcdef", "Result_Code": 3, "Result_Description": "Accepted"}'
)
_INDEXED = b'{"index":{"_index":"list","_id":"0123456789abcdefghij","status":201}}'
_BULK = b'{"took":1,"errors":false,"items":[%s]}'
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Elastic-Product: Elasticsearch\r\n"
    b"Content-Length: %d\r\n\r\n"
)


def _whole(body: bytes) -> bytes:
    return _HEAD % len(body) + body


class Sink(asyncio.BufferedProtocol):
    """One connection. Its body is received into a buffer that all connections share, and only counted."""

    shared = bytearray(_BUFFER)
    answers: dict[tuple[bytes, int], bytes] = {}  # noqa: RUF012  a cache for all connections

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._head = b""
        self._left = 0
        self._count = 0
        self._counted = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> Buffer:  # noqa: ARG002  asyncio's own name for it
        return self.shared

    def buffer_updated(self, nbytes: int) -> None:
        start = 0
        while start < nbytes:
            start = self._body(start, nbytes) if self._left else self._header(start, nbytes)

    def _header(self, start: int, end: int) -> int:
        """Read a request's head; return where its body starts."""
        before = len(self._head)
        self._head += bytes(self.shared[start:end])
        at = self._head.find(b"\r\n\r\n")
        if at < 0:
            return end
        head, self._head = self._head[:at].lower(), b""
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        if not length:
            assert self._transport is not None
            self._transport.write(b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\n\r\n")
            self._transport.close()
            return end
        self._left = int(length)
        self._count = 0
        path = head.partition(b" ")[2]
        if path.startswith(b"/triggermessage"):
            self._counted = b"{"
        elif b"_bulk" in path.partition(b" ")[0]:
            self._counted = b"\n"
        else:
            self._counted = b""
        return start + at + 4 - before

    def _body(self, start: int, end: int) -> int:
        """Count a part of a body, answer at its end; return where the next request starts."""
        end = min(end, start + self._left)
        self._left -= end - start
        if self._counted:
            self._count += self.shared.count(self._counted, start, end)
        if not self._left:
            answer = self._answer()
            assert self._transport is not None
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._transport.write, answer)
            else:
                self._transport.write(answer)
        return end

    def _answer(self) -> bytes:
        key = self._counted, self._count
        if key not in self.answers:
            match self._counted:
                case b"{":
                    body = _TRIGGERED % b",".join([_MESSAGE] * self._count)
                case b"\n":
                    body = _BULK % b",".join([_INDEXED] * (self._count // 2))
                case _:
                    body = _APPENDED
            self.answers[key] = _whole(body)
        return self.answers[key]


async def serve(delay: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(delay), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> None:
    options = argparse.ArgumentParser(description="The other end of the line.")
    options.add_argument("--delay", type=float, default=0.0, help="seconds before it answers")
    asyncio.run(serve(options.parse_args().delay))


if __name__ == "__main__":
    main()
