"""What is decided about the parts of a chunk, without a journal or a loop."""

from __future__ import annotations

import pytest

from mobiz_async.chunking import Chunk
from mobiz_async.errors import JournalError
from mobiz_async.journal import ChunkState, Event, MemoryJournal, Part, summarize
from mobiz_async.journal.protocol import Intent, Recalled, Settlement, carve
from mobiz_async.resuming import Fate, _within, plan

PENDING, ACCEPTED, UNKNOWN, REJECTED = (
    ChunkState.PENDING,
    ChunkState.ACCEPTED,
    ChunkState.UNKNOWN,
    ChunkState.REJECTED,
)


def part(start: int, count: int, state: ChunkState, *, index: int = 0, first_record: int | None = None) -> Part:
    first = start + 1 if first_record is None else first_record
    return Part(index, start, count, state, first, rows=((first, count),))


def intent(start: int, count: int) -> Intent:
    return Intent(0, start, count, ((start + 1, count),), "a", 0.0, b"[]")


def chunk(count: int) -> Chunk:
    return Chunk(0, count, ((1, count),), bytearray())


async def test_a_journal_that_nobody_goes_on_from_keeps_nothing_of_what_was_accepted() -> None:
    """It is the default, and a run may have any number of chunks."""
    journal = MemoryJournal(resumable=False)
    await journal.open({"list id": "1"})
    for index, event in enumerate([Event.ACCEPT, Event.REJECT, Event.ACCEPT]):
        await journal.intend(Intent(index, 0, 2, ((2 * index + 1, 2),), "a", 0.0, b"[]"))
        assert await journal.settle(Settlement(index, 0, "a", event, 1.0))

    assert [each.index async for each in journal.parts()] == [1]
    assert list(journal._parts) == [1]


@pytest.mark.parametrize(
    ("parts", "low_water"),
    [
        ([], 0),
        ([part(0, 4, PENDING)], 0),
        ([part(0, 4, UNKNOWN), part(4, 4, ACCEPTED)], 0),
        ([part(0, 4, ACCEPTED), part(4, 4, REJECTED), part(8, 2, PENDING)], 8),
        ([part(0, 4, ACCEPTED, first_record=3)], 6),
    ],
)
def test_low_water_is_the_last_row_before_the_first_that_is_not_settled(parts: list[Part], low_water: int) -> None:
    assert summarize(parts).low_water == low_water


def test_a_range_is_cut_out_of_what_is_pending_whatever_became_of_its_neighbours() -> None:
    parts = [part(0, 4, ACCEPTED), part(4, 6, PENDING), part(10, 4, UNKNOWN)]

    assert carve(parts, intent(6, 4)) == ([parts[1]], [part(4, 2, PENDING)])
    assert carve(parts, intent(4, 2)) == ([parts[1]], [part(6, 4, PENDING)])
    assert carve(parts, intent(6, 2)) == ([parts[1]], [part(4, 2, PENDING), part(8, 2, PENDING)])


@pytest.mark.parametrize("asked", [intent(3, 2), intent(9, 2), intent(0, 14), intent(14, 2)])
def test_no_range_touches_what_may_not_go_out_again(asked: Intent) -> None:
    with pytest.raises(JournalError):
        carve([part(0, 4, ACCEPTED), part(4, 6, PENDING), part(10, 4, UNKNOWN)], asked)


@pytest.mark.parametrize("rest", [PENDING, UNKNOWN])
def test_of_a_chunk_that_was_read_in_part_what_is_the_same_keeps_its_outcome(rest: ChunkState) -> None:
    earlier = Recalled((part(0, 4, ACCEPTED), part(4, 4, UNKNOWN), part(8, 4, REJECTED)), differs=6)

    known = _within(earlier, chunk(7), rest)

    assert [(each.start, each.count, each.state) for each in known] == [
        (0, 4, ACCEPTED),
        (4, 2, UNKNOWN),
        (6, 1, rest),
    ]


@pytest.mark.parametrize("differs", [None, 4, 9])
def test_a_chunk_of_which_all_that_was_read_is_the_same_has_nothing_new(differs: int | None) -> None:
    known = _within(Recalled((part(0, 4, ACCEPTED),), differs), chunk(4), UNKNOWN)

    assert [(each.start, each.count, each.state) for each in known] == [(0, 4, ACCEPTED)]


@pytest.mark.parametrize("rest", [PENDING, UNKNOWN])
def test_a_chunk_that_the_journal_does_not_know_is_what_all_such_are(rest: ChunkState) -> None:
    (whole,) = _within(None, chunk(4), rest)

    assert (whole.start, whole.count, whole.state) == (0, 4, rest)


@pytest.mark.parametrize(
    ("state", "resend_unknown", "fate"),
    [
        (PENDING, False, Fate.SEND),
        (ChunkState.INTENDED, False, Fate.KEEP),
        (ChunkState.INTENDED, True, Fate.SEND_IN_DOUBT),
        (ACCEPTED, True, Fate.KEEP),
        (REJECTED, True, Fate.KEEP),
        (UNKNOWN, False, Fate.KEEP),
        (UNKNOWN, True, Fate.SEND_IN_DOUBT),
    ],
)
def test_what_becomes_of_a_part_is_decided_by_its_state(state: ChunkState, resend_unknown: bool, fate: Fate) -> None:
    (step,) = plan((part(0, 4, state),), {}, resend_unknown=resend_unknown)

    assert (step.start, step.count, step.fate) == (0, 4, fate)
    assert step.fate.goes is (fate in {Fate.SEND, Fate.SEND_IN_DOUBT})
