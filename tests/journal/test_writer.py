"""The journal's thread and the event loop that waits for it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

from mobiz_async.journal import writer
from mobiz_async.journal.writer import Writer


async def test_the_loop_stands_back_as_long_as_the_thread_has_work(monkeypatch):
    stood_back = threading.Event()
    monkeypatch.setattr(writer.time, "sleep", lambda _: stood_back.set())
    thread = Writer(sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None), lambda _: None)
    thread.start()

    waited = await thread.call(lambda _: stood_back.wait(10))

    thread.finish()
    await asyncio.to_thread(thread.join)
    assert waited is True
