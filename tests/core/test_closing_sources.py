"""How sources are closed that are not read to their end: where they were read, and with no say in why the run ended."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from fakes import Network, client_on, replied, rows

from mobiz_async import MobizClient, StopReason

PEOPLE = rows(10_000, A="1")
RUNS: dict[str, Callable[[MobizClient, Any], Any]] = {
    "send_bulk": lambda client, source: client.send_bulk("1", source, chunk_size=10),
    "trigger_many": lambda client, source: client.trigger_many("key", source, batch_size=10),
}

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")


class Bound:
    """Like a bound logger, a span or anyio's ``fail_after``: to be left in the context and the task that entered it."""

    def __init__(self) -> None:
        self.left = False

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._token = tenant.set("acme")

    def __exit__(self, *_: object) -> None:
        tenant.reset(self._token)
        self.left = self._task is asyncio.current_task()


def plain(around: Bound) -> Iterator[Any]:
    with around:
        yield from PEOPLE


async def waiting(around: Bound) -> AsyncIterator[Any]:
    with around:
        for person in PEOPLE:
            await asyncio.sleep(0)
            yield person


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("source", [plain, waiting])
async def test_a_source_is_closed_in_the_task_and_the_context_that_it_was_read_in(
    run: str, source: Callable[[Bound], Any], caplog: pytest.LogCaptureFixture
) -> None:
    around = Bound()
    async with client_on(Network(lambda request, n: replied(401))) as client:
        with caplog.at_level(logging.WARNING):
            report = await RUNS[run](client, source(around))

    said = [record.getMessage() for record in caplog.records if "source" in record.getMessage()]
    assert (report.stopped, around.left, said) == (StopReason.CREDENTIALS, True, [])


@pytest.mark.parametrize("run", RUNS)
async def test_what_a_source_raises_as_it_is_closed_replaces_no_reason_and_is_logged_by_its_type(
    run: str, caplog: pytest.LogCaptureFixture
) -> None:
    def source() -> Iterator[Any]:
        try:
            yield from PEOPLE
        finally:
            raise OSError("the cursor of 27821234567 is gone")

    async with client_on(Network(lambda request, n: replied(401))) as client:
        report = await RUNS[run](client, source())

    said = [record.getMessage() for record in caplog.records if "source" in record.getMessage()]
    assert (report.stopped, report.rejected) == (StopReason.CREDENTIALS, 10)
    assert said == ["the source of records raised OSError as it was closed"]


class Lingering:
    """A source whose closing goes on until it is told to end."""

    def __init__(self) -> None:
        self.closing, self.may_close = asyncio.Event(), asyncio.Event()
        self.closed = False

    async def of(self, *records: Any) -> AsyncIterator[Any]:
        try:
            for record in records:
                yield record
        finally:
            self.closing.set()
            await self.may_close.wait()
            self.closed = True


async def test_a_source_that_is_being_closed_is_not_broken_off_by_a_cancellation() -> None:
    source = Lingering()
    async with client_on(Network(lambda request, n: replied(401))) as client:
        task = asyncio.create_task(client.send_bulk("1", source.of(*PEOPLE), chunk_size=10))
        await source.closing.wait()
        for _ in range(3):
            task.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
        source.may_close.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert source.closed


async def test_a_stop_while_the_source_of_a_trigger_run_is_being_closed_does_not_break_it_off() -> None:
    source = Lingering()
    async with client_on(Network()) as client:
        task = asyncio.create_task(client.trigger_many("key", source.of({"A": object()}, *PEOPLE), batch_size=10))
        await source.closing.wait()
        ending = asyncio.create_task(client.aclose())
        for _ in range(5):
            await asyncio.sleep(0)
        source.may_close.set()
        await asyncio.gather(task, ending, return_exceptions=True)

    assert source.closed
