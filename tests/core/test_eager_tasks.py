"""Runs whose tasks begin at once, before their creator has a name for them."""

from __future__ import annotations

import asyncio

import pytest
from fakes import client_on, counts, rows

from mobiz_async.testing import FakeTransport

pytestmark = pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12 brought eager tasks")


async def test_the_counts_are_live_also_for_a_callback_within_the_first_step_of_a_run() -> None:
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    seen: list[tuple[int, int]] = []

    async with client_on(FakeTransport()) as client:
        report = await client.send_bulk(
            "1", rows(4), chunk_size=2, progress=lambda stats: seen.append((stats.read, stats.accepted))
        )

    assert (seen, counts(report)) == ([(4, 2), (4, 4), (4, 4)], {"accepted": 4})
