"""``MobizClient``: its lifecycle and the operations of the vendor's reference, nothing else."""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from mobiz_async.addresses import check_base_url, proxy_of_environment
from mobiz_async.arguments import (
    Records,
    append_chunker,
    as_list,
    as_secret,
    batch_chunker,
    bulk_run,
    hooks_of,
    key_of,
    one_record,
    only_chunk,
)
from mobiz_async.batches import TriggerRun, receipt_of
from mobiz_async.bulk import BulkRun
from mobiz_async.clock import Clock, SystemClock
from mobiz_async.coalescing import Coalescer
from mobiz_async.delivery import Deliverer, Delivery
from mobiz_async.errors import ConfigurationError
from mobiz_async.lifetime import Lifetime
from mobiz_async.logs import from_environment as log_as_environment_asks
from mobiz_async.models import (
    Credentials,
    DataList,
    Outcome,
    Pace,
    RetryPolicy,
    Secret,
    Timeouts,
    check_definition,
)
from mobiz_async.options import BulkSettings
from mobiz_async.pacing import Lane, Pacer
from mobiz_async.reports import AppendReceipt, BulkReport, EventHook, TriggerReceipt, TriggerReport
from mobiz_async.settings import check_kind, whole
from mobiz_async.transport import AiohttpTransport, Transport
from mobiz_async.unseen import Hidden, hide, unseen
from mobiz_async.verdicts import Failure
from mobiz_async.wire import (
    Request,
    SendTimeFormat,
    check_trigger_key,
    create_list_request,
    format_send_time,
    trigger_request,
)

if TYPE_CHECKING:
    import aiohttp

__all__ = ["DEFAULT_BASE_URL", "MobizClient"]

DEFAULT_BASE_URL = "https://api.mobiz.co"
"""Vendor's reference: the host of every operation."""


class MobizClient:
    """The Mobiz messaging API, from asyncio.

    Use it as an async context manager, or call ``aclose``. One client serves any number of tasks of one event loop, and
    paces all that they send. It holds no connection before the first request.

    Before anything is sent, each operation raises ``ConfigurationError`` for an argument that cannot be meant (an empty
    trigger key or list id, a number out of its range), ``TypeError`` for rows that are no iterable of records, and
    ``RuntimeError`` when the client is closed, or belongs to another event loop or process.
    """

    def __init__(
        self,
        api_key: str | Secret | None = None,
        subscription_key: str | Secret | None = None,
        username: str | None = None,
        *,
        base_url: str | None = None,
        session: aiohttp.ClientSession | None = None,
        transport: Transport | None = None,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008  a frozen value
        timeouts: Timeouts = Timeouts(),  # noqa: B008  the same
        concurrency: int = 8,
        pace: Pace | None = None,
        send_time_format: SendTimeFormat = "unix",
        events: Sequence[EventHook] = (),
        allow_insecure: bool = False,
        trust_env: bool = False,
        expect_continue: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """Take settings; no I/O happens before the first request.

        ``api_key``, ``subscription_key``, ``username`` and ``base_url`` come from ``MOBIZ_API_KEY``,
        ``MOBIZ_SUBSCRIPTION_KEY``, ``MOBIZ_USERNAME`` and ``MOBIZ_BASE_URL`` when None. ``session`` is used and
        never closed (for proxies and TLS settings of your own); it is of the event loop that the client is used in.
        ``transport`` replaces the network altogether.
        ``trust_env`` goes through the proxy of ``HTTPS_PROXY``, if there is one, and heeds ``NO_PROXY``.
        ``retry`` says what is tried again and for how long, ``timeouts`` what one attempt may take, ``clock`` what time
        it is, for tests. ``send_time_format`` is how a ``send_time`` is written. ``concurrency`` bounds bulk requests
        in flight; ``pace`` says it and more, and counts instead. ``events`` are called with an ``AttemptEvent`` after
        each attempt, and not awaited. ``expect_continue`` sends a body only after the server's ``100 Continue``, which
        turns some unknowns into provably not sent, where the server takes part in it.

        Raises ``ConfigurationError`` for a missing key, settings that are none, an async event hook, or a ``base_url``
        that is neither https nor on this machine, unless ``allow_insecure`` (or ``MOBIZ_ALLOW_INSECURE=1``) asks for it
        by name.
        """
        # As secrets from the start: the frame of a constructor that raises ends up in error reports.
        api_key, subscription_key = as_secret(api_key), as_secret(subscription_key)
        if trust_env and (session is not None or transport is not None):
            raise ConfigurationError("trust_env is for the client's own session: make yours with it")
        log_as_environment_asks()
        self._base_url = os.environ.get("MOBIZ_BASE_URL") or DEFAULT_BASE_URL if base_url is None else base_url
        self._username = os.environ.get("MOBIZ_USERNAME") if username is None else username
        check_kind("retry", retry, RetryPolicy)
        check_kind("timeouts", timeouts, Timeouts)
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._send_time_format = send_time_format
        self._pace = pace if pace is not None else Pace(concurrency=concurrency)
        check_kind("pace", self._pace, Pace)
        if transport is None:
            credentials = Credentials(
                key_of("api_key", api_key, "MOBIZ_API_KEY"),
                key_of("subscription_key", subscription_key, "MOBIZ_SUBSCRIPTION_KEY"),
            )
            insecure = allow_insecure or os.environ.get("MOBIZ_ALLOW_INSECURE") == "1"
            url = check_base_url(self._base_url, allow_insecure=insecure)
            transport = AiohttpTransport(
                credentials,
                url,
                timeouts,
                session,
                proxy=proxy_of_environment(url) if trust_env else None,
                expect_continue=expect_continue,
            )
        elif session is not None:
            raise ConfigurationError("session and transport exclude each other")
        pacer = Pacer(self._pace, self._clock, longest_pause=retry.max_retry_after)
        self._deliverer = Deliverer(transport, pacer, retry, self._clock, hooks_of(events))
        self._lifetime = Lifetime(self._deliverer)

    def __repr__(self) -> str:
        lifetime = getattr(self, "_lifetime", None)  # a constructor that raised is shown too
        state = "open" if lifetime is not None and not lifetime.closing else "closed"
        return f"<MobizClient {getattr(self, '_base_url', '')} {state}>"

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        lifetime = getattr(self, "_lifetime", None)
        if lifetime is not None and lifetime.used and not lifetime.closing:
            _warn(f"unclosed {self!r}: use 'async with', or await aclose()", ResourceWarning, source=self)

    async def __aenter__(self) -> Self:
        self._lifetime.check()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose(timeout=0.0 if error is not None else 30.0)

    async def aclose(self, timeout: float = 30.0) -> None:  # noqa: ASYNC109  what is cut off is not this call
        """Begin nothing new, let what is in flight end for up to ``timeout`` seconds, then close. Twice is fine.

        Bulk runs and trigger runs are stopped at once: their attempts that have begun may end, and none begins any
        more. What is left after ``timeout`` ends for its caller with what is proven: ``NotSentError`` where it waited
        to go (again), ``OutcomeUnknownError`` where it was on its way. A session that was handed in stays open.

        Raises ``RuntimeError`` in another event loop than the client was used in, unless that one is closed.
        """
        await self._lifetime.aclose(timeout)

    # Triggers

    async def trigger(self, trigger_key: str, fields: Any) -> TriggerReceipt:
        """TriggerMessage with one object: ``{"A": mobile number, "B": ...}``, columns named by letters.

        Returns the receipt of an accepted message (``Result_Code`` 3). Raises ``InvalidRecordError`` before anything is
        sent; ``RejectedError`` and its kinds for result codes 0, 1, 2 and 4; ``NotSentError`` and its kinds when all
        attempts provably failed; ``OutcomeUnknownError`` when it may have been sent: it is then not sent again.
        """
        held, key = hide(fields), Secret(trigger_key)
        del fields, trigger_key  # an exception carries this frame, and error trackers print its locals
        with self._lifetime.operation():
            check_trigger_key(key)
            return await self._single(trigger_request(key, one_record(held)))

    async def schedule(self, trigger_key: str, fields: Any, *, send_time: datetime | str) -> TriggerReceipt:
        """Schedule Message: ``trigger`` at ``send_time``, an aware datetime in the future, or a text sent as it is.

        The vendor does not document the format; ``send_time_format`` of the client is the one in use. Raises
        ``ConfigurationError`` for a naive or past ``send_time``, and what ``trigger`` raises.
        """
        held, key = hide(fields), Secret(trigger_key)
        del fields, trigger_key  # as in trigger
        with self._lifetime.operation():
            check_trigger_key(key)
            when = format_send_time(send_time, self._send_time_format, self._clock.wall())
            return await self._single(trigger_request(key, one_record(held), send_time=when))

    async def _single(self, request: Request, *, cut_short: Failure | None = None) -> TriggerReceipt:
        return receipt_of(await self._deliver(request, Lane.SINGLE, cut_short=cut_short), request.records)

    async def _deliver(self, request: Request, lane: Lane, *, cut_short: Failure | None = None) -> Delivery:
        delivery = await self._deliverer.deliver(request, lane, cut_short=cut_short)
        if delivery.judged.verdict.outcome is not Outcome.ACCEPTED:
            raise delivery.judged.error(request, delivery.attempts)
        return delivery

    async def trigger_many(
        self, trigger_key: str, rows: Records, *, batch_size: int = 500, concurrency: int | None = None
    ) -> TriggerReport:
        """TriggerMessage with arrays of at most ``batch_size`` objects, ``concurrency`` batches at a time.

        ``rows`` is any sync or async iterable; without ``concurrency`` the client's counts. Every batch has its own
        outcome, receipt or error in the report; one that fails hides no other's ids. What every other batch would meet
        as well (refused credentials, no server, a quota) ends the run, and ``report.stopped`` says so. Raises
        ``InvalidRecordError`` and ``SourceError``, with ``report`` set to what was sent before it. The vendor names no
        limit of a batch; 500 is ours.
        """
        held, key = hide(rows), Secret(trigger_key)
        del rows, trigger_key  # as in trigger
        return await self._many(key, held, batch_size, concurrency, None)

    async def schedule_many(
        self,
        trigger_key: str,
        rows: Records,
        *,
        send_time: datetime | str,
        batch_size: int = 500,
        concurrency: int | None = None,
    ) -> TriggerReport:
        """Schedule Message with arrays: ``trigger_many`` at ``send_time``, which is as in ``schedule``.

        It raises what these two raise.
        """
        held, key = hide(rows), Secret(trigger_key)
        del rows, trigger_key  # as in trigger
        when = format_send_time(send_time, self._send_time_format, self._clock.wall())
        return await self._many(key, held, batch_size, concurrency, when)

    async def _many(
        self, trigger_key: Secret, held: Hidden[Records], batch_size: int, concurrency: int | None, when: str | None
    ) -> TriggerReport:
        check_trigger_key(trigger_key)
        whole(1).check("batch_size", batch_size)
        at_once = self._pace.concurrency if concurrency is None else concurrency
        whole(1).check("concurrency", at_once)
        with self._lifetime.operation():
            chunker = unseen(hide(partial(batch_chunker, next(held), batch_size)))
            run = TriggerRun(self._deliverer, trigger_key, chunker, at_once, when)
            with self._lifetime.stopping(run):
                return await run.run()

    @asynccontextmanager
    async def coalesce(
        self,
        trigger_key: str,
        *,
        max_batch: int = 100,
        max_wait: float = 0.01,
        max_queue: int = 10_000,
        max_batches_in_flight: int = 8,
        on_full: Literal["wait", "fail"] = "wait",
        close_timeout: float | None = 30.0,
    ) -> AsyncIterator[Coalescer]:
        """Many single messages from any number of tasks, sent as few trigger batches.

        What arrives within ``max_wait`` seconds, or up to ``max_batch``, goes as one POST; ``await otp.send(fields)``
        returns the caller's own receipt, or raises its own copy of the batch's error. At most ``max_queue`` wait:
        further callers wait for room, or with ``on_full="fail"`` get a ``NotSentError``. ``max_batches_in_flight`` are
        under way at most. Leaving the block sends what waits, for up to ``close_timeout`` seconds (None: as long as it
        takes).
        """
        key = Secret(trigger_key)
        del trigger_key  # as in trigger
        check_trigger_key(key)

        async def post(batch: list[bytes]) -> TriggerReceipt:
            body = b"[" + b",".join(batch) + b"]"
            return await self._single(trigger_request(key, body, len(batch)), cut_short=Failure.CLOSED)

        with self._lifetime.operation() as under_way:
            coalescer = Coalescer(
                post,
                max_batch=max_batch,
                max_wait=max_wait,
                max_queue=max_queue,
                max_batches_in_flight=max_batches_in_flight,
                on_full=on_full,
                prepare=one_record,
                close_timeout=close_timeout,
                under_way=under_way,
            )
            under_way(False)
            with self._lifetime.stopping(coalescer):
                async with coalescer:
                    yield coalescer

    # Lists

    async def create_list(self, name: str, definition: Mapping[str, str], *, username: str | None = None) -> DataList:
        """Creating a Data List: field to format, each ``numeric``, ``text``, ``email`` or ``msisdn``.

        Not sent again when its outcome is unknown: there may be a list of that name by then. Raises
        ``ConfigurationError`` for a name that is empty or cannot be encoded, a format the vendor does not name or a
        missing ``username``, ``RejectedError`` for a ``status`` other than 1, and the other ``RequestError`` kinds.
        """
        check_definition(definition)
        owner = self._username if username is None else username
        if not owner:
            raise ConfigurationError(
                "is missing: it says whose a new list is", setting="username", variable="MOBIZ_USERNAME"
            )
        with self._lifetime.operation():
            delivery = await self._deliver(create_list_request(owner, name, definition), Lane.SINGLE)
        answer = delivery.judged.answer
        assert answer is not None
        assert answer.list_id is not None
        return DataList(answer.list_id, name, definition)

    async def append(
        self, contacts: DataList | str | int, rows: Records, *, number_field: str | None = None
    ) -> AppendReceipt:
        """SendBulkMessages with exactly one request of at most 10,000 records, all of them or none.

        It is sent again only where it provably was not applied. Raises ``InvalidRecordError``, ``SourceError`` or
        ``ConfigurationError`` (too many) before anything is sent, and the ``RequestError`` kinds. No rows: no request.
        ``number_field`` is as in ``BulkOptions``.
        """
        held = hide(rows)
        del rows  # as in trigger
        with self._lifetime.operation():
            target = unseen(hide(partial(as_list, contacts)))
            chunker = unseen(hide(partial(append_chunker, target, next(held), number_field)))
            request = await only_chunk(chunker, target.id)
            if request is None:
                return AppendReceipt(0)
            delivery = await self._deliver(request, Lane.BULK)
        answer = delivery.judged.answer
        assert answer is not None
        return AppendReceipt(request.records, answer.message, answer.raw)

    # Bulk runs

    async def send_bulk(
        self, contacts: DataList | str | int, records: Records, **options: Unpack[BulkSettings]
    ) -> BulkReport:
        """Send any number of records to a list, in chunks of at most 10,000, and return the balanced books.

        ``contacts`` is a ``DataList`` or a list id; a ``DataList`` with a definition has its formats checked.
        ``records`` is any sync or async iterable of mappings, attrs, dataclass, msgspec, pydantic or named-tuple
        instances, rows of a database, or bare numbers as text; it is read as it is sent and never held whole. The
        options are the fields of ``BulkOptions``.

        Rejections, unknown outcomes and refused credentials are in the report, not raised. Raises, each with ``report``
        set: ``InvalidRecordError`` (unless ``on_invalid="skip"``), ``SourceError`` when ``records`` raised,
        ``SourceChangedError`` and ``JournalError``. When cancelled, what may have gone out is unknown.
        """
        opened = self.bulk(contacts, records, **options)
        del records, options  # as in trigger
        with self._lifetime.operation():
            async with opened as run:
                return await run.finish()

    @asynccontextmanager
    async def bulk(
        self, contacts: DataList | str | int, records: Records, **options: Unpack[BulkSettings]
    ) -> AsyncIterator[BulkRun]:
        """``send_bulk``, watched: a context manager giving a ``BulkRun`` to iterate, look at and stop.

        Iterating it to the end, and its ``finish``, raise what ``send_bulk`` raises.
        """
        begin = hide(partial(bulk_run, contacts, records, options, self._deliverer, self._pace.concurrency))
        del records, options  # as in trigger
        with self._lifetime.operation() as under_way:
            run = unseen(hide(partial(next(begin), under_way)))
            with self._lifetime.stopping(run):
                async with run:
                    yield run
