"""What a callback raises ends a run, and changes nothing in what is known of its records."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakes import Gate, Network, accepted, client_on, counts, replied, rows

from mobiz_async import MemoryJournal, StopReason
from mobiz_async.errors import Reason
from mobiz_async.journal import ChunkState
from mobiz_async.recipients.stages import Problem
from mobiz_async.testing import FakeTransport, Hold
from mobiz_async.verdicts import Stage


class MistakeError(Exception):
    """One of the caller's."""


def mistaken(_: Any) -> None:
    raise MistakeError


async def test_the_journal_hears_that_nothing_was_sent_although_a_callback_raises_on_the_way() -> None:
    """Else the chunk would be unknown to the run that goes on, and its records never be texted."""
    journal, fake = MemoryJournal(), FakeTransport(then=Hold(Stage.CONNECTING))
    async with client_on(fake) as client:
        sending = asyncio.create_task(client.send_bulk("1", rows(3), journal=journal, progress=mistaken))
        await fake.until(lambda: fake.held == 1)
        sending.cancel()
        await asyncio.wait([sending])
    async with client_on(Network()) as client:
        again = await client.send_bulk("1", rows(3), journal=journal)

    assert sending.cancelled()
    assert counts(again) == {"accepted": 3}


async def test_all_parts_of_a_chunk_are_told_as_an_earlier_run_left_them_although_a_callback_raises() -> None:
    """None of them is called not sent that was accepted."""
    journal, bad = MemoryJournal(), rows(8)[3]
    network = Network(lambda request, n: replied(400) if bad in network.bodies[-1] else accepted(request))
    async with client_on(network) as client:
        first = await client.send_bulk("1", rows(8), journal=journal, on_rejected="split")
        with pytest.raises(MistakeError):
            async with client.bulk("1", rows(8), journal=journal, progress=mistaken) as run:
                await run.finish()

    parts = [part async for part in journal.parts()]
    assert len(parts) > 3  # the callback must have some to miss
    assert counts(first) == {"accepted": 7, "rejected": 1} == counts(run.report)
    assert run.report.stopped is StopReason.ERROR


async def test_a_callback_that_has_raised_is_called_no_more_and_all_that_is_skipped_is_counted() -> None:
    told: list[Problem] = []

    def on_skipped(problem: Problem) -> None:
        told.append(problem)
        raise MistakeError

    async with client_on(Network()) as client:
        with pytest.raises(MistakeError):
            async with client.bulk("1", [None, *rows(2), None], on_invalid="skip", on_skipped=on_skipped) as run:
                await run.finish()

    assert [problem.row for problem in told] == [1]
    assert run.report.skipped_by_reason == {Reason.NOT_A_RECORD: 2}
    assert counts(run.report) == {"not_sent": 2, "skipped": 2}


async def test_a_callback_whose_own_future_was_cancelled_ends_the_run_as_any_other_that_raises() -> None:
    def progress(_: Any) -> None:
        raise asyncio.CancelledError

    async with client_on(network := Network()) as client:
        report = await asyncio.wait_for(
            client.send_bulk("1", rows(30), chunk_size=10, concurrency=1, progress=progress), 10
        )

    assert (report.stopped, network.count) == (StopReason.ERROR, 1)
    assert counts(report) == {"accepted": 10, "not_sent": 20}


async def test_what_goes_on_while_a_callback_raises_is_finished_and_written() -> None:
    journal, gate = MemoryJournal(), Gate()
    network = Network(lambda request, n: accepted(request) if n == 1 else gate.passed(accepted(request)))
    calls = 0

    def progress(_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise MistakeError

    async with client_on(network) as client:
        sending = asyncio.create_task(
            client.send_bulk("1", rows(50), chunk_size=10, concurrency=4, journal=journal, progress=progress)
        )
        await gate.until_waiting(4)
        gate.open.set()
        with pytest.raises(MistakeError):
            await sending

    assert {part.state async for part in journal.parts()} == {ChunkState.ACCEPTED}
    assert calls == 2
