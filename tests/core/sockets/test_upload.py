"""The body of a request on its way out: when it counts as standing still, and what lies between it and the network."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from broken import Peer, authority, serving

from mobiz_async.upload import Upload, _acknowledged, _keep_buffers_small, _Watch
from mobiz_async.verdicts import Stage

SENT = 100_000

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody knows what the peer has acknowledged")


class Line:
    """A transport whose peer has acknowledged so many bytes."""

    def __init__(self) -> None:
        self.acknowledged = 0

    def get_extra_info(self, _: str) -> Line:
        return self

    def getsockopt(self, *_: int) -> bytes:
        return bytes(120) + self.acknowledged.to_bytes(8, sys.byteorder)


class Limit:
    """A timeout that takes down when it is to end."""

    at: float | None = None

    def reschedule(self, when: float | None) -> None:
        self.at = when


@pytest.mark.parametrize("progress", [pytest.param("acknowledged", marks=linux), "handed over"])
async def test_while_anything_gets_on_an_upload_does_not_stand_still(progress: str) -> None:
    """On a slow line the buffers alone can take longer than an upload may: what is acknowledged counts as well."""
    line: Any = Line()
    limit: Any = Limit()
    watch = _Watch(line, 30.0, limit)
    for _ in range(100):
        line.acknowledged += progress == "acknowledged"
        watch.handed_over += progress == "handed over"
        watch._look()
    watch.end()

    assert limit.at is None


async def test_an_upload_that_stands_still_for_all_of_its_time_is_given_up() -> None:
    line: Any = Line()
    limit: Any = Limit()
    watch = _Watch(line, 30.0, limit)
    line.acknowledged, watch.handed_over = 7, 1
    for _ in range(4):  # the first of these sees something new, three in vain are three quarters of the time
        watch._look()
    not_yet = limit.at
    watch._look()
    watch.end()

    assert (not_yet, limit.at) == (None, pytest.approx(asyncio.get_running_loop().time(), abs=5))


class _Gone(asyncio.WriteTransport):
    """A transport that is closed, as asyncio's for TLS was before 3.11.4."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        raise AttributeError("'NoneType' object has no attribute '_get_extra_info'")

    def abort(self) -> None:
        raise AttributeError("'NoneType' object has no attribute '_abort'")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        raise AttributeError("'NoneType' object has no attribute '_set_write_buffer_limits'")


async def test_an_upload_over_a_connection_that_is_gone_stops_without_an_error() -> None:
    upload = Upload(b"[]", lambda _: None, 30.0)
    upload._transport = _Gone()
    upload.stop()
    _keep_buffers_small(upload._transport)

    assert _acknowledged(upload._transport) == 0


async def test_an_upload_that_was_stopped_before_it_began_hands_nothing_over() -> None:
    reached: list[Stage] = []
    upload = Upload(b"[]", reached.append, 30.0)
    upload.stop()
    nobody: Any = None
    with pytest.raises(ConnectionAbortedError):
        await upload.write(nobody)

    assert (reached, upload.complete) == ([], False)


async def takes_them(peer: Peer) -> None:
    await peer.reader.readexactly(SENT)
    peer.writer.write(b".")
    await peer.rest()


@pytest.fixture(params=["http", "https"])
async def exchanged(request) -> AsyncIterator[asyncio.StreamWriter]:
    """A connection on which the peer has taken what was sent."""
    context = None
    if request.param == "https":
        context = ssl.create_default_context()
        authority().configure_trust(context)
    async with serving(takes_them, tls=context is not None) as seen:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(seen.url.rpartition(":")[2]), ssl=context)
        writer.write(bytes(SENT))
        await reader.readexactly(1)
        yield writer
        writer.close()
        await seen.ended.wait()


@linux
async def test_what_a_peer_acknowledges_is_counted(exchanged) -> None:
    assert _acknowledged(exchanged.transport) >= SENT


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such option")
async def test_little_lies_between_an_upload_and_the_network(exchanged) -> None:
    """TLS would take half a megabyte, and the kernel what it has room for."""
    _keep_buffers_small(exchanged.transport)
    connection = exchanged.get_extra_info("socket")

    assert exchanged.transport.get_write_buffer_limits() == (16_384, 65_536)
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 131_072


async def test_of_a_connection_that_is_closed_nothing_is_known(exchanged) -> None:
    exchanged.close()
    await exchanged.wait_closed()
    _keep_buffers_small(exchanged.transport)

    assert _acknowledged(exchanged.transport) == 0
