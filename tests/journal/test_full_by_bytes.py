"""A chunk that was full by its bytes has the records it had when a run goes on, whoever behind it has opted out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mobiz_async.errors import SourceError
from mobiz_async.journal import ChunkState
from mobiz_async.journal.protocol import Part
from mobiz_async.late_optouts import LateOptOuts

BYTES = 150
SHORT, LONG = "x" * 10, "x" * 60
SOURCE = [{"Number": f"2782000000{at}", "Message": LONG if at in {2, 3} else SHORT} for at in range(6)]
"""In bodies of 150 bytes: two short ones, a long one, a long and a short one, a short one."""


def broken_off(after: int) -> Iterator[Any]:
    yield from SOURCE[:after]
    raise OSError


async def test_who_was_next_and_opts_out_does_not_leave_their_room_to_the_next_but_one(sandbox, send) -> None:
    with pytest.raises(SourceError) as raised:
        await send(broken_off(4), max_chunk_bytes=BYTES, concurrency=1, suppress=[])
    assert raised.value.report.accepted == 3

    report = await send(SOURCE, max_chunk_bytes=BYTES, concurrency=1, suppress=[SOURCE[3]["Number"]])

    assert (report.accepted, report.resumed, report.skipped, report.ok) == (5, 3, 1, True)
    assert sandbox.applied("1") == {one["Number"]: 1 for at, one in enumerate(SOURCE) if at != 3}


def test_only_a_chunk_that_an_earlier_run_has_made_has_a_size_of_its_own() -> None:
    late = LateOptOuts()
    late.sparing(lambda *_: pytest.fail("there is nothing to look at"))
    late.note(Part(0, 0, 1, ChunkState.ACCEPTED, 1, rows=((1, 1),)))
    late.note(Part(0, 1, 2, ChunkState.PENDING, 2, rows=((2, 2),)))
    late.note(Part(2, 0, 3, ChunkState.ACCEPTED, 6, rows=((6, 3),)))

    assert [late.most_of(index) < 10_000 and late.most_of(index) for index in range(4)] == [3, False, 3, False]
