"""The thread that owns a journal's SQLite connection, and does what event loops ask of it in few transactions."""

from __future__ import annotations

import asyncio
import contextlib
import enum
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
    outcome: bool
    """Whether it only says what became of something that an earlier order announced."""
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]

    def answer(self, result: Any, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):
            # The loop may be closed by now: then nobody waits any more.
            self.loop.call_soon_threadsafe(_deliver, self.done, result, error)


class _Health(enum.Enum):
    """What can still be written."""

    WELL = "everything"
    FULL = "outcomes"
    FAILED = "nothing"

    def serves(self, order: _Order) -> bool:
        """Whether ``order`` may be tried."""
        return self is _Health.WELL or (self is _Health.FULL and order.outcome)

    def after(self, error: Exception) -> _Health:
        """Return what is left after a transaction that failed, and was rolled back."""
        merely_full = self is _Health.WELL and getattr(error, "sqlite_errorcode", None) in _DISK_FULL
        return _Health.FULL if merely_full else _Health.FAILED


_DISK_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}
"""The disk is full, or whoever writes has used up what it may: nothing of the transaction is in the file."""


def _answer(orders: list[_Order], error: JournalError) -> None:
    for order in orders:
        order.answer(None, error)


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
        self._health = _Health.WELL
        self._awaited = 0
        self._pausing: asyncio.TimerHandle | None = None

    async def call(self, job: Callable[[sqlite3.Connection], T], *, outcome: bool = False) -> T:
        """Return what ``job`` returns, once it is committed; raise ``JournalError`` where it was not.

        ``outcome``: it is small, and only says what became of something announced; it is tried on a full disk too.
        """
        loop = asyncio.get_running_loop()
        order = _Order(job, outcome, loop, loop.create_future())
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
        """Do the orders in one transaction; where the disk is full, those that are outcomes once more by themselves."""
        refusal = JournalError("the journal failed earlier; nothing more is written to it")
        while orders:
            _answer([order for order in orders if not self._health.serves(order)], refusal)
            orders = [order for order in orders if self._health.serves(order)]
            try:
                results = self._transact(orders)
            except Exception as error:  # noqa: BLE001  whatever broke, the callers must hear of it
                self._health = self._health.after(error)
                refusal = error if isinstance(error, JournalError) else _failure(error)
            else:
                for order, (result, error_) in zip(orders, results, strict=True):
                    order.answer(result, error_)
                return

    def _transact(self, orders: list[_Order]) -> list[tuple[Any, BaseException | None]]:
        if not orders:
            return []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            results = [self._one(order.job) for order in orders]
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                # Where even that fails, SQLite rolls back from its own journal at the next open.
                self._connection.rollback()
            raise
        return results

    def _one(self, job: Job) -> tuple[Any, BaseException | None]:
        try:
            return job(self._connection), None
        except JournalError as error:
            # A refusal of ours, raised before anything was written: it concerns this order alone.
            return None, error

    def _close(self) -> None:
        try:
            if self._health is _Health.WELL:
                self._tidy(self._connection)
        except sqlite3.Error:
            # Every commit is on the disk already; only the tidying up did not work.
            _log.warning("the journal could not be compacted")
        finally:
            self._connection.close()


def _failure(error: Exception) -> JournalError:
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return JournalError(f"the journal could not be written ({name}); nothing is sent without it")
