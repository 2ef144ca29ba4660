"""The body of a request on its way out: how far it got, whether the peer still takes it, and its end in the middle.

* When an upload is given up, its connection is reset, so that what is left of the body in this machine's buffers is
  dropped instead of trickling out after the caller was told. Bytes the peer's side already holds cannot be called back:
  that is why such an attempt is unknown, never "failed".
* A connection that was used before is looked at first. What came on it while nobody had asked is no answer to this
  request, and would be taken for one: then nothing goes out on it.
* Buffers are kept small. TLS would take half a megabyte ahead of the network, and the kernel more: on a slow line most
  of a body would seem to be out at once, and the rest of it to stand still for longer than any timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from mobiz_async.verdicts import Stage
from mobiz_async.wire import Body

__all__ = ["OnStage", "Upload"]

OnStage = Callable[[Stage], None]

_SLICE = 1 << 16
_UNSENT = 1 << 17
"""Bytes the kernel may hold that it has not sent yet, beside those that wait for the peer to acknowledge them."""
_LOOKS = 4
"""At an upload, in the time that it may stand still: it is given up after that time and a quarter of it at the most."""
_CLOSED = (OSError, ValueError, RuntimeError, AttributeError)
"""How one loop or another says that a socket is closed already."""


class Upload(aiohttp.Payload):
    """A request's body, handed over in slices; it reports how far it got and can be stopped."""

    _autoclose = True

    def __init__(
        self,
        body: Body,
        on_stage: OnStage,
        stall: float,
        used: WeakSet[Any] | None = None,
        process: int | None = None,
    ) -> None:
        """``used``: the protocols of connections that have carried an upload of this client; this one adds its own.

        ``process``: the one that sends it, this one where that is not said.
        """
        super().__init__(b"", content_type="application/json")
        self._used = used if used is not None else WeakSet()
        self._body = body
        self._size: int = len(body)
        self._on_stage = on_stage
        self._stall = stall
        self._process = process if process is not None else os.getpid()
        self._stopped = False
        self._transport: asyncio.WriteTransport | None = None
        self.stalled = False
        self.asked_for = False
        """Whether the session goes to the network for it."""
        self.stale = False
        """Whether the connection was found to have an answer on it."""
        self.begun = False
        self.last_begun = False
        """Whether the last bytes were at least begun to be handed over: before that, nobody can have it all."""
        self.complete = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self._body).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        if self._stopped or self.begun or self._process != os.getpid():
            # Over; or a middleware of the session's sends the request again, which only the verdict may decide on; or a
            # child that was forked in the middle runs the loop on, as it does for sys.exit(): its parent sends this.
            raise ConnectionAbortedError("an attempt sends its body once")
        protocol: Any = getattr(writer, "protocol", None)
        reused = protocol is not None and protocol in self._used
        if _answered_already(protocol) or (reused and _has_unread(protocol.transport)):
            self.stale = True
            raise ConnectionAbortedError("there is an answer on the connection before anything was asked")
        if protocol is not None:
            self._used.add(protocol)
        self._transport = writer.transport
        self.begun = True
        self._on_stage(Stage.SENDING)
        view = memoryview(self._body)
        if self._size <= _SLICE or self._transport is None:
            self.last_begun = True
            await writer.write(view)
        else:
            await self._write_slices(writer, view, self._transport)
        self.complete = True
        self._on_stage(Stage.SENT)

    async def _write_slices(
        self, writer: AbstractStreamWriter, view: memoryview, transport: asyncio.WriteTransport
    ) -> None:
        _keep_buffers_small(transport)
        try:
            async with asyncio.timeout(None) as limit:
                watch = _Watch(transport, self._stall, limit)
                try:
                    for start in range(0, self._size, _SLICE):
                        self.last_begun = start + _SLICE >= self._size
                        await writer.write(view[start : start + _SLICE])
                        await writer.drain()
                        # A peer that takes all at once would keep this loop from everything else in the process.
                        await asyncio.sleep(0)
                        watch.handed_over += 1
                finally:
                    watch.end()
        except TimeoutError:
            self.stalled = True
            raise

    def stop(self) -> None:
        """Let no further byte out: reset the connection, dropping what this machine still holds of the body."""
        self._stopped = True
        transport = self._transport
        if transport is None:
            return
        with contextlib.suppress(*_CLOSED):
            connection = transport.get_extra_info("socket")
            # Lingering for zero seconds makes the close a reset: the kernel drops its send buffer as well.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(*_CLOSED):
            transport.abort()


def _answered_already(protocol: Any) -> bool:
    """Whether aiohttp has read something from this connection that no request of it waits for."""
    return bool(getattr(protocol, "should_close", False))


def _has_unread(transport: asyncio.BaseTransport | None) -> bool:
    """Whether the system holds something for us that the event loop has not read, as when it was kept from it.

    That may be an answer, or the end of the connection. Of one that was not used yet it may be the peer's part of TLS.
    """
    with contextlib.suppress(*_CLOSED):
        number = transport.get_extra_info("socket").fileno() if transport is not None else -1
        if sys.platform == "win32":
            return bool(select.select([number], [], [], 0)[0])
        else:  # noqa: RET505  mypy knows the one system or the other
            look = select.poll()  # for select() there are numbers that are too high
            look.register(number, select.POLLIN)
            return bool(look.poll(0))
    return True


class _Watch:
    """Looks now and then whether an upload gets on, and ends it where it does not."""

    def __init__(self, transport: asyncio.WriteTransport, stall: float, limit: asyncio.Timeout) -> None:
        self._transport = transport
        self._every = stall / _LOOKS
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._alarm = self._loop.call_later(self._every, self._look)
        self.handed_over = 0
        """Slices."""
        self._seen = (0, _acknowledged(transport))
        self._in_vain = 0

    def _look(self) -> None:
        # What was handed over says too little by itself: on a slow line the buffers alone last for minutes.
        seen = self.handed_over, _acknowledged(self._transport)
        self._in_vain = self._in_vain + 1 if seen == self._seen else 0
        self._seen = seen
        if self._in_vain >= _LOOKS:
            self._limit.reschedule(self._loop.time())
        else:
            self._alarm = self._loop.call_later(self._every, self._look)

    def end(self) -> None:
        self._alarm.cancel()


def _keep_buffers_small(transport: asyncio.WriteTransport) -> None:
    with contextlib.suppress(*_CLOSED):
        transport.set_write_buffer_limits(_SLICE)
        if sys.platform != "win32":
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)


def _acknowledged(transport: asyncio.WriteTransport) -> int:
    """Return how many bytes the peer has acknowledged on this connection; 0 where the system does not say."""
    if sys.platform == "linux":
        with contextlib.suppress(*_CLOSED):
            info = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
            return int.from_bytes(info[120:], sys.byteorder)  # tcpi_bytes_acked in <linux/tcp.h>
    return 0
