"""The thread that owns a journal's SQLite connection, and does what event loops ask of it in few transactions."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import queue
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import attrs

from mobiz_async.errors import JournalError, JournalLostError
from mobiz_async.journal.locking import Lock
from mobiz_async.logs import say

__all__ = ["Writer"]

T = TypeVar("T")
Claim = Callable[[Path], None]
Job = Callable[[sqlite3.Connection], Any]

_PAUSE = 1e-6
"""Seconds the loop's thread is put to sleep for, to hand over the interpreter lock. The system makes some 60 us of it,
about what another thread needs to wake up."""
_PAUSE_EVERY = 0.001

_GONE = "the journal is open no more: that was in another process, or its event loop was closed"
_HOLDERS: dict[tuple[int, int, int], Writer] = {}
"""(Process, device, file) -> who has it open, or is about to. After a fork, those of the parent are nobody's."""


@attrs.frozen(eq=False)
class _Answer:
    """What a loop waits for."""

    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]

    @classmethod
    def awaited(cls) -> Self:
        """Return one that the running loop can wait for."""
        loop = asyncio.get_running_loop()
        return cls(loop, loop.create_future())

    def give(self, result: Any, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):
            # The loop may be closed by now: then nobody waits any more.
            self.loop.call_soon_threadsafe(_deliver, self.done, result, error)


@attrs.frozen(eq=False)
class _Order:
    job: Job
    outcome: bool
    """Whether it writes an outcome, of an intent that is in the file: such a small write may succeed on a full disk."""
    answer: _Answer


class _Health(enum.Enum):
    """What can still be written."""

    WELL = "everything"
    FULL = "outcomes"  # or the file was moved away
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
        order.answer.give(None, error)


def _deliver(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)


class Writer(threading.Thread):
    """Owns the connection, from its opening to its end. Orders that wait together are done in one transaction.

    Its answers reach the loop by ``call_soon_threadsafe``. No thread of the loop's executor waits for it: all of them
    may be busy with work that waits for this journal.

    It holds no reference to the journal, and to the loop only while an order is under way: either may be dropped
    without ``finish``, and this thread must notice it and close the file.
    """

    _connection: sqlite3.Connection

    def __init__(
        self, connect: Callable[[Claim], tuple[sqlite3.Connection, Any]], tidy: Callable[[sqlite3.Connection], None]
    ) -> None:
        """``connect`` opens the connection, once it has claimed the file; ``tidy`` is called before it is closed.

        Nothing is tidied after a write that failed, or in a hurry.
        """
        super().__init__(name="mobiz-journal", daemon=True)
        self._connect = connect
        self._opened: _Answer | None = None
        self._finished: _Answer | None = None
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._claimed: tuple[int, int, int] | None = None
        self._lock: Lock | None = None
        self._hurried = False
        self._ended = False
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._tidy = tidy
        self._health = _Health.WELL
        self._failed = JournalError("the journal failed earlier; nothing more is written to it")
        """What is said to those that come after a failure."""
        self._awaited = 0
        self._pausing = False

    def open(self) -> asyncio.Future[Any]:
        """Start. The future has what ``connect`` returned beside the connection, or what it raised, which ends this."""
        opened = self._opened = _Answer.awaited()
        self._loop = weakref.ref(opened.loop)
        try:
            self.start()
        except RuntimeError:
            raise JournalError("the journal needs a thread of its own, and the system gives no more") from None
        return opened.done

    @property
    def orphaned(self) -> bool:
        """Whether nobody is left to finish it: it was abandoned, or the loop that has opened it is closed."""
        if self._hurried:
            return True
        loop = self._loop() if self._loop is not None else None
        return loop is None or loop.is_closed()

    def _claim(self, path: Path) -> None:
        """Make the file at ``path`` this one's, also where it was an orphan's; raise ``JournalError`` otherwise."""
        file = path.stat()
        key = os.getpid(), file.st_dev, file.st_ino
        while (holder := _HOLDERS.setdefault(key, self)) is not self:
            if not holder.orphaned:
                raise JournalError(f"the journal {path} is in use by another run of this process")
            holder.abandon()
            holder.join()
        self._claimed = key
        try:
            self._lock = Lock(path)
        except BlockingIOError:
            raise JournalError(f"the journal {path} is in use by another process") from None

    async def call(self, job: Callable[[sqlite3.Connection], T], *, outcome: bool = False) -> T:
        """Return what ``job`` returns, once it is committed; raise ``JournalError`` where it was not.

        ``outcome``: it is small, and only says what became of something announced; it is tried on a full disk too.
        """
        answer = _Answer.awaited()
        self._orders.put(_Order(job, outcome, answer))
        if self._gone:
            raise JournalError(_GONE)
        self._awaited += 1
        try:
            self._pause_soon(answer.loop)
            result: T = await answer.done
            return result
        finally:
            self._awaited -= 1

    # A busy loop lets go of the interpreter lock for a microsecond whenever it looks at its sockets. A thread that
    # waits for the lock is woken by that, comes too late, and begins anew the 5 ms after which it may insist: it gets
    # the lock by luck. So while anything is asked of this thread, the loop stands back for a moment every millisecond.

    def _pause_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._pausing:
            self._pausing = True
            loop.call_later(_PAUSE_EVERY, self._pause, loop)

    def _pause(self, loop: asyncio.AbstractEventLoop) -> None:
        self._pausing = False
        if self._awaited:
            time.sleep(_PAUSE)
            self._pause_soon(loop)

    def finish(self) -> asyncio.Future[None]:
        """Do what waits, close the connection, and end. The future is done when it is closed."""
        finished = self._finished = _Answer.awaited()
        self._orders.put(None)
        if self._gone:
            finished.give(None, None)
        return finished.done

    def abandon(self) -> None:
        """``finish`` in a hurry, for those whom nobody will finish. It may be called in any thread, at any moment."""
        self._hurried = True
        self._orders.put(None)

    @property
    def _gone(self) -> bool:
        # What was put into the queue before this was found false is answered. No thread outlives a fork.
        return self._ended or not self.is_alive()

    def run(self) -> None:
        """Work until ``finish``."""
        opened, self._opened = self._opened, None
        assert opened is not None
        try:
            self._connection, found = self._connect(self._claim)
        except Exception as error:  # noqa: BLE001  whatever it is, somebody waits for it
            self._end()
            opened.give(None, error)
            return
        opened.give(found, None)
        del opened
        try:
            while self._work_on():
                pass
            self._close()
        finally:
            self._end()

    def _end(self) -> None:
        """Give the file up; after this, nobody waits for anything."""
        if self._lock is not None:
            self._lock.release()
        if self._claimed is not None:
            del _HOLDERS[self._claimed]
        self._ended = True
        while not self._orders.empty():
            order = self._orders.get()
            if order is not None:
                order.answer.give(None, JournalError(_GONE))
        if self._finished is not None:
            self._finished.give(None, None)

    def _work_on(self) -> bool:
        """Do what waits, or comes; return whether more is to come."""
        orders = [self._orders.get()]
        while not self._orders.empty():
            orders.append(self._orders.get())
        self._work([order for order in orders if order is not None])
        return None not in orders

    def _work(self, orders: list[_Order]) -> None:
        """Do the orders in one transaction; where the disk is full, those that are outcomes once more by themselves."""
        refusal = type(self._failed)(*self._failed.args)
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
                    order.answer.give(result, error_)
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
        except JournalLostError as error:
            # Nothing more begins. What is under way is told to the file that was there: it may be put back.
            # What waits beside this hears the same, as whichever is heard of first ends the run.
            self._health, self._failed = _Health.FULL, error
            return None, error
        except JournalError as error:
            # A refusal of ours, raised before anything was written: it concerns this order alone.
            return None, error

    def _close(self) -> None:
        try:
            if self._health is _Health.WELL and not self._hurried:
                self._tidy(self._connection)
        except sqlite3.Error:
            # Every commit is on the disk already; only the tidying up did not work.
            say(logging.WARNING, "the journal could not be compacted")
        finally:
            self._connection.close()


def _failure(error: Exception) -> JournalError:
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return JournalError(f"the journal could not be written ({name}); nothing is sent without it")
