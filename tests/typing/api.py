"""The public API as a typed program uses it. It is never run: mypy and basedpyright read it, in strict mode."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, assert_type

import aiohttp
import attrs

from mobiz_async import (
    AppendReceipt,
    AttemptEvent,
    BatchOutcome,
    BulkReport,
    BulkRun,
    ChunkOutcome,
    Clock,
    Coalescer,
    DataList,
    Journal,
    MemoryJournal,
    MobizClient,
    MobizError,
    OnInvalid,
    OnRejected,
    OnUnknown,
    Outcome,
    Pace,
    RequestError,
    RetryPolicy,
    Secret,
    SQLiteJournal,
    Stats,
    StopReason,
    SystemClock,
    ThrottledError,
    Timeouts,
    Transport,
    TriggerReceipt,
    TriggerReport,
)
from mobiz_async.recipients import (
    Preview,
    Problem,
    Recipients,
    RejectsWriter,
    open_recipients,
    phones,
    preview,
    segments,
)
from mobiz_async.sandbox import Fault, Faults, RateLimit, Sandbox, SandboxProcess
from mobiz_async.testing import FakeClock, FakeTransport, throttled


@attrs.frozen
class Person:
    """A recipient as an attrs value."""

    Number: str


@dataclass
class Customer:
    """A recipient as a dataclass."""

    Number: str


def mappings() -> Iterator[Mapping[str, object]]:
    """A source of mappings."""
    yield {"Number": "27821234567"}


async def rows() -> AsyncIterator[dict[str, str]]:
    """An asynchronous source."""
    yield {"Number": "27821234567"}


def watch(event: AttemptEvent) -> None:
    """An event hook."""
    assert_type(event.outcome, Outcome)
    assert_type(event.retry_in, float | None)


def show(stats: Stats) -> None:
    """A progress callback."""
    assert_type(stats.accepted, int)


def write(problem: Problem) -> None:
    """A callback for skipped records."""
    assert_type(problem.row, int)


clock: Clock = SystemClock()
fake_clock: Clock = FakeClock(auto=True)
transport: Transport = FakeTransport([throttled(2)])
journals: list[Journal] = [MemoryJournal(), SQLiteJournal("run.journal")]


async def settings(session: aiohttp.ClientSession) -> None:
    """Every way of making a client."""
    MobizClient()
    MobizClient("key", Secret("key"), "user", base_url="https://api.example", session=session)
    MobizClient(
        transport=transport,
        retry=RetryPolicy(max_attempts=3, deadline=10.0),
        timeouts=Timeouts(connect=1, read=2, upload_stall=3, total=4),
        concurrency=4,
        pace=Pace(requests_per_second=10),
        send_time_format="iso8601",
        events=[watch],
        allow_insecure=True,
        clock=fake_clock,
    )
    MobizClient(send_time_format=lambda when: when.isoformat())


async def operations(mobiz: MobizClient) -> None:
    """Every operation, and what it returns."""
    assert_type(await mobiz.trigger("key", {"A": "27821234567"}), TriggerReceipt)
    assert_type(await mobiz.schedule("key", Person("2782"), send_time=datetime.now(UTC)), TriggerReceipt)
    assert_type(await mobiz.trigger_many("key", mappings(), batch_size=100), TriggerReport)
    assert_type(await mobiz.schedule_many("key", rows(), send_time="1764655200"), TriggerReport)
    contacts = await mobiz.create_list("Spring", {"Number": "msisdn"})
    assert_type(contacts, DataList)
    assert_type(await mobiz.append(contacts, [Customer("2782")]), AppendReceipt)
    assert_type(await mobiz.append("142874", ["27821234567"], number_field="Phone"), AppendReceipt)
    assert_type(await mobiz.send_bulk(142874, rows()), BulkReport)


async def bulk(mobiz: MobizClient, journal: Journal) -> BulkReport:
    """Every option of a bulk run, watched."""
    async with mobiz.bulk(
        "142874",
        mappings(),
        chunk_size=1_000,
        max_chunk_bytes=1 << 20,
        concurrency=2,
        journal=journal,
        on_unknown=OnUnknown.STOP,
        on_rejected=OnRejected.SPLIT,
        on_invalid="skip",
        max_split_requests=10,
        number_field="Number",
        common={"Message": "Hi"},
        rename={"cell": "Number"},
        region="ZA",
        mobile_only=True,
        suppress=["27821234567", 27821234567, None],
        dedupe="Number",
        max_failure_rate=0.1,
        records_per_second=100.0,
        deadline=60.0,
        progress=show,
        on_skipped=write,
        failures_kept=10,
    ) as run:
        assert_type(run, BulkRun)
        async for chunk in run:
            assert_type(chunk, ChunkOutcome)
            for row, record in chunk.records():
                assert_type(row, int)
                assert_type(record, Mapping[str, Any])
        run.stop()
        report = await run.finish()
    assert_type(report.stopped, StopReason | None)
    assert_type(report.failures, tuple[ChunkOutcome, ...])
    assert_type(report.error, MobizError | None)
    return report


async def coalesced(mobiz: MobizClient) -> None:
    """Many single messages."""
    async with mobiz.coalesce("key", max_batch=10, max_wait=0.01, on_full="fail") as pins:
        assert_type(pins, Coalescer)
        assert_type(await pins.send({"A": "27821234567"}), TriggerReceipt)


async def failing(mobiz: MobizClient) -> None:
    """What errors hold."""
    try:
        await mobiz.trigger("key", {"A": "27821234567"})
    except ThrottledError as error:
        assert_type(error.retry_after, float | None)
    except RequestError as error:
        assert_type(error.status, int | None)
        assert_type(error.report, BulkReport | TriggerReport | None)


def batches(report: TriggerReport) -> None:
    """What came of batches."""
    assert_type(report.batches, tuple[BatchOutcome, ...])
    assert_type(report.message_ids, tuple[str | None, ...])


def recipients() -> None:
    """Files, numbers, previews."""
    with open_recipients("spring.csv", mapping={"Number": "cell"}) as table, RejectsWriter("bad.csv") as rejects:
        assert_type(table, Recipients)
        seen = preview(table, region="ZA", price_per_segment="0.25")
        rejects.write({}, row=1, reason="missing")
    assert_type(seen, Preview)
    assert_type(phones.normalize("082 123 4567"), str)
    assert_type(segments.count("Hi").parts, int)


async def locally() -> None:
    """The sandbox."""
    async with Sandbox(rate_limit=RateLimit(10, 1.0), faults=Faults.every(2, Fault.THROTTLE)) as sandbox:
        assert_type(sandbox.base_url, str)
        assert_type(sandbox.applied_total, int)
    async with SandboxProcess(["--log", "applied.log"]) as process:
        assert_type(process.pid, int)


CHOICES: tuple[OnInvalid, OnRejected, OnUnknown] = (OnInvalid.RAISE, OnRejected.KEEP, OnUnknown.KEEP)
