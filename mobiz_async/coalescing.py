"""Many single ``await``s, few POSTs: what arrives together travels together, and everybody gets their own answer.

``BatchQueue`` decides what travels together; it is told the time and knows no loop. ``Coalescer`` obeys it, with one
timer for each batch, one task for each batch and one future for each caller.

What becomes of a caller:

- its record is bad: ``InvalidRecordError`` at once, and its fellows never notice;
- it is cancelled while its record waits: the record is taken out and never sent;
- it is cancelled after its batch left: the batch goes on, and the message may well arrive;
- its batch is accepted: a receipt of its own, with its message id where the reply's entries match in number;
- its batch fails: a copy of the error of its own, since a shared exception would collect everybody's tracebacks;
- nobody knows what became of its batch: ``OutcomeUnknownError``, and the batch is not sent again;
- the coalescer closes first: what is proven by then. ``NotSentError`` if its batch never left, or was turned away and
  waited to go again; ``OutcomeUnknownError`` if it may have been applied.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import copy
import functools
import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

import attrs

from mobiz_async.errors import ConfigurationError, NotSentError, OutcomeUnknownError
from mobiz_async.logs import say
from mobiz_async.reports import TriggerReceipt
from mobiz_async.settings import number, whole
from mobiz_async.unseen import Hidden, hide

__all__ = ["BatchQueue", "Coalescer", "Leftover", "Post"]

Item = TypeVar("Item")
Post = Callable[[list[Any]], Awaitable[TriggerReceipt]]
"""Sends one batch and returns its receipt; raises a ``RequestError`` otherwise. Cancelled, it does one or the other by
what is proven then; a ``CancelledError`` counts as unknown."""

_LAST_WORD = 0.25  # seconds a cancelled POST has to clean up after a close that ran out of time


class BatchQueue(Generic[Item]):
    """First come, first served: a batch is due when it is full, or when its oldest item has waited long enough."""

    def __init__(self, max_batch: int, max_wait: float) -> None:
        """At most ``max_batch`` items a batch; no item waits more than ``max_wait`` seconds for company."""
        self.max_batch = max_batch
        self.max_wait = max_wait
        self._items: collections.OrderedDict[Item, float] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item, now: float) -> None:
        """Queue an item that arrived at ``now``; items are added in the order of arrival and are hashable."""
        self._items[item] = now

    def discard(self, item: Item) -> bool:
        """Take an item out; False when it is not there (any more)."""
        return self._items.pop(item, None) is not None

    @property
    def due_at(self) -> float:
        """When the next batch leaves: -inf when it is full, inf when nothing waits."""
        if not self._items:
            return math.inf
        if len(self._items) >= self.max_batch:
            return -math.inf
        return next(iter(self._items.values())) + self.max_wait

    def take(self, now: float) -> list[Item]:
        """Remove and return the batch that is due, oldest first; empty when none is."""
        if now < self.due_at:
            return []
        return [self._items.popitem(last=False)[0] for _ in range(min(self.max_batch, len(self._items)))]


@attrs.frozen
class Leftover:
    """What a close could not finish, in records: those that never left, and those nobody knows about."""

    not_sent: int = 0
    unknown: int = 0

    def __bool__(self) -> bool:
        return bool(self.not_sent or self.unknown)


class _Call:
    """One caller: what it wants sent, since when it waits, and where its answer goes."""

    __slots__ = ("arrived", "fields", "future")

    def __init__(self, fields: Any, arrived: float, future: asyncio.Future[TriggerReceipt]) -> None:
        self.fields = fields
        self.arrived = arrived
        self.future = future

    def fail(self, error: BaseException) -> bool:
        """Give the caller its error; False when it has an answer, or is gone."""
        if self.future.done():
            return False
        self.future.set_exception(error)
        return True


@attrs.define(eq=False)
class _Batch:
    calls: list[_Call]
    handed_over: bool = False
    cut_short: bool = False

    def fail(self, error: Callable[[], BaseException]) -> int:
        return sum(call.fail(error()) for call in self.calls)


def _not_sent() -> NotSentError:
    return NotSentError("the coalescer closed before this was sent")


def _unknown() -> OutcomeUnknownError:
    return OutcomeUnknownError("the batch that this was part of was cut short; it may have been applied")


def _own_copy(error: Exception) -> BaseException:
    try:
        mine = copy.copy(error)
    except Exception:  # noqa: BLE001  a foreign exception that cannot be copied must not leave its callers waiting
        mine = OutcomeUnknownError(f"sending the batch raised {type(error).__name__}; it may have been applied")
    mine.__cause__ = error.__cause__
    return mine


class Coalescer:
    """Gathers what any number of tasks ``send`` into batches. Use it as an async context manager, in one event loop.

    Leaving the context sends what waits, for at most ``close_timeout`` seconds (None: as long as it takes).
    """

    def __init__(
        self,
        post: Post,
        *,
        max_batch: int = 100,
        max_wait: float = 0.01,
        max_queue: int = 10_000,
        max_batches_in_flight: int = 8,
        on_full: Literal["wait", "fail"] = "wait",
        prepare: Callable[[Hidden[Any]], Any] | None = None,
        close_timeout: float | None = 30.0,
        under_way: Callable[[bool], None] | None = None,
    ) -> None:
        """Send through ``post``. What ``prepare`` makes of a record, which it takes out of a ``Hidden``, is queued.

        ``prepare`` may refuse a record; as what it raises carries frames, none of them should hold it any more.
        ``max_wait`` is in seconds. With ``max_queue`` records waiting to leave, the next callers wait outside
        (``on_full="wait"``) or get a ``NotSentError`` (``"fail"``). Raises ``ConfigurationError`` for a number that
        makes no sense. ``under_way`` is told, now and again, whether any batch is.
        """
        for setting, value in (
            ("max_batch", max_batch),
            ("max_queue", max_queue),
            ("max_batches_in_flight", max_batches_in_flight),
        ):
            whole(1).check(setting, value)
        number().check("max_wait", max_wait)
        if max_wait == math.inf:
            raise ConfigurationError("must be finite", setting="max_wait")
        if close_timeout is not None:
            number().check("close_timeout", close_timeout)
        if on_full not in ("wait", "fail"):
            raise ConfigurationError("is 'wait' or 'fail'", setting="on_full")
        self._post = post
        self._queue: BatchQueue[_Call] = BatchQueue(min(max_batch, max_queue), max_wait)
        self._outside: collections.OrderedDict[_Call, None] = collections.OrderedDict()
        self._max_queue = max_queue
        self._max_in_flight = max_batches_in_flight
        self._fail_when_full = on_full == "fail"
        self._prepare = prepare
        self._close_timeout = close_timeout
        self._under_way = under_way
        self._in_flight: dict[asyncio.Task[None], _Batch] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._left = Leftover()
        # A batch belongs to none of its callers, so it runs in the context of the one who made the coalescer.
        self._context = contextvars.copy_context()

    @property
    def queued(self) -> int:
        """Records waiting to leave; at most ``max_queue``."""
        return len(self._queue)

    @property
    def waiting_outside(self) -> int:
        """Callers waiting for a place in the queue."""
        return len(self._outside)

    @property
    def batches_in_flight(self) -> int:
        """Batches that left and are not answered."""
        return len(self._in_flight)

    async def __aenter__(self) -> Self:
        self._loop = self._loop or asyncio.get_running_loop()  # a sender from another must not be what decides
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose(self._close_timeout)

    async def send(self, fields: Any) -> TriggerReceipt:
        """Return the receipt for one object, sent along with whatever else arrives within ``max_wait``.

        Raises what ``prepare`` does (``InvalidRecordError``), a ``RequestError`` that says what became of the batch,
        ``NotSentError`` when the queue is full and ``on_full`` is ``"fail"``, and ``RuntimeError`` after closing or
        from another event loop.
        """
        held = hide(fields)
        del fields  # an exception carries this frame, and error trackers print its locals
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None:
                raise RuntimeError("this coalescer belongs to another event loop")
            self._loop = loop
        if self._closing:
            raise RuntimeError("this coalescer is closed")
        call = _Call(next(held) if self._prepare is None else self._prepare(held), loop.time(), loop.create_future())
        if len(self._queue) < self._max_queue:
            self._queue.add(call, call.arrived)
            if self._timer is None or len(self._queue) >= self._queue.max_batch:
                self._dispatch(loop)
        elif self._fail_when_full:
            raise NotSentError("the coalescer's queue is full")
        else:
            self._outside[call] = None
        try:
            return await call.future
        except asyncio.CancelledError:
            self._withdraw(call)
            raise

    def _withdraw(self, call: _Call) -> None:
        if self._queue.discard(call):
            self._let_in()
            if not self._queue:
                self._stop_timer()
        elif call in self._outside:
            del self._outside[call]
        else:
            self._break_off()

    def _break_off(self) -> None:
        """Cancel the batches that nobody waits for any more: what still waits to go out is not to come late."""
        for task, batch in self._in_flight.items():
            if not batch.cut_short and all(call.future.done() for call in batch.calls):
                batch.cut_short = True
                task.cancel()

    def _let_in(self) -> None:
        while self._outside and len(self._queue) < self._max_queue:
            call, _ = self._outside.popitem(last=False)
            self._queue.add(call, call.arrived)

    def _dispatch(self, loop: asyncio.AbstractEventLoop, now: float | None = None) -> None:
        now = loop.time() if now is None else now
        if self._closing:
            now = math.inf  # nobody else will come, so nothing is worth waiting for
        while len(self._in_flight) < self._max_in_flight and (calls := self._queue.take(now)):
            self._start(loop, _Batch(calls))
            self._let_in()
        if self._under_way is not None:
            self._under_way(bool(self._in_flight))
        self._stop_timer()
        if len(self._in_flight) < self._max_in_flight and self._queue:
            due = self._queue.due_at
            self._timer = loop.call_at(due, self._dispatch, loop, due, context=self._context)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, loop: asyncio.AbstractEventLoop, batch: _Batch) -> None:
        # A copy: an eager task begins here and now, and this may be running in the context itself.
        task = loop.create_task(self._run(batch), name="mobiz_async.coalescing", context=self._context.copy())
        self._in_flight[task] = batch
        task.add_done_callback(functools.partial(self._finished, loop), context=self._context)

    async def _run(self, batch: _Batch) -> None:
        batch.handed_over = True
        try:
            receipt = await self._post([call.fields for call in batch.calls])
            for call, part in zip(batch.calls, _parts(receipt, len(batch.calls)), strict=True):
                if not call.future.done():
                    call.future.set_result(part)
        except Exception as error:  # noqa: BLE001  whatever it is, the callers wait for it
            count = batch.fail(functools.partial(_own_copy, error))
            if batch.cut_short:
                self._leave(count, sent=not isinstance(error, NotSentError))

    def _finished(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
        # The only way to still have callers here is a task that was cancelled, perhaps before its first step.
        self._abandon(self._in_flight.pop(task))
        if not task.cancelled():
            task.exception()
        self._dispatch(loop)

    def _abandon(self, batch: _Batch) -> None:
        self._leave(batch.fail(_unknown if batch.handed_over else _not_sent), sent=batch.handed_over)

    def _leave(self, count: int, *, sent: bool) -> None:
        if count and sent:
            self._left = attrs.evolve(self._left, unknown=self._left.unknown + count)
        elif count:
            self._left = attrs.evolve(self._left, not_sent=self._left.not_sent + count)

    def stop(self) -> None:
        """Take nothing more; what waits leaves at once, as far as ``max_batches_in_flight`` allows."""
        self._closing = True
        if self._loop is not None:
            self._dispatch(self._loop)

    async def aclose(self, timeout: float | None = None) -> Leftover:  # noqa: ASYNC109  it reports instead of raising
        """Send what waits, for at most ``timeout`` seconds (None: as long as it takes), and say what is left.

        When time is up, or this call is cancelled, every caller still waiting gets its error. Closing again is fine.
        """
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise RuntimeError("this coalescer belongs to another event loop")
        before = self._left
        deadline = math.inf if timeout is None else loop.time() + timeout
        self.stop()
        try:
            while self._in_flight and (left := deadline - loop.time()) > 0:
                await asyncio.wait(self._in_flight, timeout=None if left == math.inf else left)
                await asyncio.sleep(0)  # the callbacks of what has finished start what waits
        finally:
            cut_short = self._give_up()
        if cut_short:
            _, deaf = await asyncio.wait(cut_short, timeout=_LAST_WORD)
            for task in deaf:
                self._abandon(self._in_flight[task])
        if self._left != before:
            say(
                logging.WARNING,
                "coalescer closed with %d records not sent and %d unknown",
                self._left.not_sent,
                self._left.unknown,
                extra={"not_sent": self._left.not_sent, "unknown": self._left.unknown},
            )
        return self._left

    def _give_up(self) -> list[asyncio.Task[None]]:
        waiting = _Batch([*self._drain(), *self._outside])
        self._outside.clear()
        self._stop_timer()
        self._abandon(waiting)
        running = [task for task in self._in_flight if not task.done()]
        for task in running:
            self._in_flight[task].cut_short = True
            task.cancel()  # what that proves is what its callers are told
        return running

    def _drain(self) -> Iterator[_Call]:
        while batch := self._queue.take(math.inf):
            yield from batch


def _parts(receipt: TriggerReceipt, count: int) -> Iterator[TriggerReceipt]:
    if receipt.count != count:
        receipt = attrs.evolve(receipt, count=count)
    return (receipt.part(position) for position in range(count))
