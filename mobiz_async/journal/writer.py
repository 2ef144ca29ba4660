"""The thread that owns a journal's SQLite connection, and does what event loops ask of it in few transactions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from mobiz_async.errors import JournalError

__all__ = ["Writer"]

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]

_PAUSE = 1e-6
"""Seconds the loop's thread is put to sleep for, to hand over the interpreter lock. The system makes some 60 us of it,
about what another thread needs to wake up."""
_PAUSE_EVERY = 0.001

_log = logging.getLogger("mobiz_async")


@attrs.frozen(eq=False)
class _Order:
    job: Job
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]


def _deliver(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)


class Writer(threading.Thread):
    """Owns the connection. Orders that wait together are done in one transaction."""

    def __init__(self, connection: sqlite3.Connection, tidy: Callable[[sqlite3.Connection], None]) -> None:
        """Take over ``connection``; ``tidy`` is called before it is closed, unless a write had failed."""
        super().__init__(name="mobiz-journal", daemon=True)
        self._connection = connection
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._tidy = tidy
        self._failed = False
        self._awaited = 0
        self._pausing: asyncio.TimerHandle | None = None

    async def call(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``job`` returns, once it is committed; raise ``JournalError`` where it was not."""
        loop = asyncio.get_running_loop()
        order = _Order(job, loop, loop.create_future())
        self._orders.put(order)
        self._awaited += 1
        try:
            self._pause_soon(loop)
            result: T = await order.done
            return result
        finally:
            self._awaited -= 1

    # A busy loop lets go of the interpreter lock for a microsecond whenever it looks at its sockets. A thread that
    # waits for the lock is woken by that, comes too late, and begins anew the 5 ms after which it may insist: it gets
    # the lock by luck. So while anything is asked of this thread, the loop stands back for a moment every millisecond.

    def _pause_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._pausing is None:
            self._pausing = loop.call_later(_PAUSE_EVERY, self._pause, loop)

    def _pause(self, loop: asyncio.AbstractEventLoop) -> None:
        self._pausing = None
        if self._awaited:
            time.sleep(_PAUSE)
            self._pause_soon(loop)

    def finish(self) -> None:
        """Do what waits, close the connection, and end."""
        self._orders.put(None)

    def run(self) -> None:
        """Work until ``finish``."""
        last = False
        while not last:
            orders = [self._orders.get()]
            while not self._orders.empty():
                orders.append(self._orders.get())
            last = None in orders
            self._work([order for order in orders if order is not None])
        self._close()

    def _work(self, orders: list[_Order]) -> None:
        if not orders:
            return
        results: list[tuple[Any, BaseException | None]]
        try:
            self._refuse_after_failure()
            self._connection.execute("BEGIN IMMEDIATE")
            results = [self._one(order.job) for order in orders]
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  whatever broke, the callers must hear of it, and nothing else goes in
            self._failed = True
            failure = error if isinstance(error, JournalError) else _failure(error)
            results = [(None, failure)] * len(orders)
            with contextlib.suppress(sqlite3.Error):
                # The connection is given up either way; SQLite rolls back from its own journal at the next open.
                self._connection.rollback()
        for order, (result, error_) in zip(orders, results, strict=True):
            with contextlib.suppress(RuntimeError):
                # The loop may be closed by now: then nobody waits any more.
                order.loop.call_soon_threadsafe(_deliver, order.done, result, error_)

    def _refuse_after_failure(self) -> None:
        if self._failed:
            raise JournalError("the journal failed earlier; nothing more is written to it")

    def _one(self, job: Job) -> tuple[Any, BaseException | None]:
        try:
            return job(self._connection), None
        except JournalError as error:
            # A refusal of ours, raised before anything was written: it concerns this order alone.
            return None, error

    def _close(self) -> None:
        try:
            if not self._failed:
                self._tidy(self._connection)
        except sqlite3.Error:
            # Every commit is on the disk already; only the tidying up did not work.
            _log.warning("the journal could not be compacted")
        finally:
            self._connection.close()


def _failure(error: Exception) -> JournalError:
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return JournalError(f"the journal could not be written ({name}); nothing is sent without it")
