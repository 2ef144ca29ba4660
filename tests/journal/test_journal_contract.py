"""What every journal does: the same suite over each of them."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from mobiz_async.errors import JournalError
from mobiz_async.journal import ChunkState, Event, Part, summarize
from mobiz_async.journal.protocol import Intent, Settlement

BODY = b'[{"Number":"1"},{"Number":"2"},{"Number":"3"},{"Number":"4"}]'


def intent(index: int = 0, start: int = 0, count: int = 4, attempt: str = "a1", **changes: Any) -> Intent:
    rows = ((index * 4 + start + 1, count),)
    made = Intent(index, start, count, rows, attempt, 1000.0, BODY)
    return attrs.evolve(made, **changes)


def settlement(event: Event, index: int = 0, start: int = 0, attempt: str = "a1", **changes: Any) -> Settlement:
    return attrs.evolve(Settlement(index, start, attempt, event, 2000.0), **changes)


async def all_parts(journal: Any, *states: ChunkState) -> list[Part]:
    return [part async for part in journal.parts(*states)]


async def spans(journal: Any, *states: ChunkState) -> list[tuple[int, int, int, str]]:
    return [(part.index, part.start, part.count, part.state.value) for part in await all_parts(journal, *states)]


async def test_a_new_journal_has_nothing_to_resume(shelf, identity):
    journal = shelf.journal()

    resuming = await journal.open(identity())

    assert (resuming, await all_parts(journal)) == (False, [])
    await journal.close()


async def test_the_end_of_a_source_is_kept(shelf, identity):
    journal = shelf.journal()
    await journal.open(identity())
    before = await journal.end()
    for records in (7, 8):
        await journal.note_end(records)
    await journal.close()

    await journal.open(identity())

    assert (before, await journal.end()) == (None, 8)
    await journal.close()


async def test_what_an_intent_says_is_kept(opened):
    await opened.intend(intent(rows=((1, 2), (7, 2))))

    (part,) = await all_parts(opened)

    expected = Part(
        index=0,
        start=0,
        count=4,
        state=ChunkState.INTENDED,
        first_record=1,
        attempt_id="a1",
        attempts=1,
        intended_at=1000.0,
        rows=((1, 2), (7, 2)),
        has_body=True,
    )
    assert expected == part


async def test_what_a_settlement_says_is_kept(opened):
    await opened.intend(intent())

    settled = await opened.settle(settlement(Event.REJECT, status=400, reference="ref-1"))

    (part,) = await all_parts(opened)
    found = (settled, part.state, part.status, part.reference, part.settled_at)
    assert found == (True, ChunkState.REJECTED, 400, "ref-1", 2000.0)


@pytest.mark.parametrize(
    ("event", "state", "kept"),
    [
        (Event.ACCEPT, ChunkState.ACCEPTED, None),
        (Event.REJECT, ChunkState.REJECTED, BODY),
        (Event.NOT_SENT, ChunkState.PENDING, BODY),
        (Event.LOSE, ChunkState.UNKNOWN, BODY),
        (Event.HALVE, ChunkState.PENDING, BODY),
    ],
)
async def test_a_body_is_kept_from_intent_until_acceptance(opened, event, state, kept):
    await opened.intend(intent())

    await opened.settle(settlement(event))

    (part,) = await all_parts(opened)
    assert (state, kept, kept is not None) == (part.state, await opened.body(0, 0), part.has_body)


async def test_the_body_of_a_part_that_never_was_is_none(opened):
    assert await opened.body(3, 0) is None


async def test_a_body_handed_over_as_a_bytearray_comes_back_as_bytes(opened):
    await opened.intend(intent(body=bytearray(BODY)))

    found = await opened.body(0, 0)

    assert (BODY, bytes) == (found, type(found))


async def test_closed_and_opened_again_it_knows_what_it_knew(shelf, identity):
    journal = shelf.journal()
    await journal.open(identity())
    await journal.intend(intent())
    await journal.settle(settlement(Event.REJECT, status=400))
    before = await all_parts(journal)
    await journal.close()

    again = shelf.journal()
    resuming = await again.open(identity())

    assert (True, before, BODY) == (resuming, await all_parts(again), await again.body(0, 0))
    await again.close()


async def test_closing_twice_is_harmless(opened):
    await opened.close()
    await opened.close()


async def test_it_tells_which_run_it_belongs_to(shelf, identity):
    journal = shelf.journal()
    await journal.open(identity())

    assert identity() == await journal.identity()
    await journal.close()


async def test_an_intent_without_an_outcome_is_unknown_when_opened_again(shelf, identity):
    journal = shelf.journal()
    await journal.open(identity())
    await journal.intend(intent())
    await journal.close()

    again = shelf.journal()
    await again.open(identity())

    assert await spans(again) == [(0, 0, 4, "unknown")]
    await again.close()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"list_id": "2"}, "list id"),
        ({"chunk_size": "5"}, "chunk size"),
        ({"checks": "others"}, "checks"),
        ({"list_id": "2", "checks": "others"}, "checks, list id"),
        ({"region": "ZA"}, "region"),
    ],
)
async def test_the_journal_of_another_run_is_refused_and_the_difference_named(shelf, identity, changes, named):
    journal = shelf.journal()
    await journal.open(identity())
    await journal.close()

    with pytest.raises(JournalError) as caught:
        await shelf.journal().open(identity(**changes))

    assert str(caught.value) == f"the journal belongs to another run: different {named}"
    # A refusal leaves it as it was: its own run goes on.
    await shelf.journal().open(identity())
    await shelf.journal().close()


async def test_it_opens_for_looking_without_saying_which_run(shelf, identity):
    journal = shelf.journal()
    await journal.open(identity())
    await journal.intend(intent())
    await journal.close()

    looking = shelf.journal()

    assert await looking.open(None) is True
    await looking.close()


async def test_opening_what_is_open_is_refused_at_once(shelf, identity):
    journal = shelf.journal()
    await journal.open(identity())

    with pytest.raises(JournalError, match="in use"):
        await shelf.journal().open(identity())

    await journal.intend(intent())
    assert await spans(journal) == [(0, 0, 4, "intended")]
    await journal.close()


async def test_recall_says_nothing_of_a_chunk_it_does_not_know(opened):
    assert await opened.recall(0, BODY) is None


async def test_recall_returns_the_parts_of_a_chunk_that_is_the_same(opened):
    await opened.intend(intent())

    recalled = await opened.recall(0, bytearray(BODY))

    assert (None, tuple(await all_parts(opened))) == (recalled.differs, recalled.parts)


@pytest.mark.parametrize(
    ("body", "differs"),
    [
        (BODY.replace(b'"1"', b'"9"'), 0),
        (BODY.replace(b'"4"', b'"9"'), 3),
        (BODY.replace(b'{"Number":"2"},', b""), 1),
        (BODY.replace(b'{"Number":"2"}', b'{"Number":"0"},{"Number":"2"}'), 1),
        (BODY.replace(b',{"Number":"4"}', b""), 3),
        (BODY.replace(b"]", b',{"Number":"5"}]'), 4),
    ],
    ids=["first changed", "last changed", "deleted", "inserted", "cut short", "appended"],
)
async def test_recall_names_the_first_record_that_differs(opened, body, differs):
    await opened.intend(intent())
    await opened.settle(settlement(Event.ACCEPT))

    recalled = await opened.recall(0, body)

    assert differs == recalled.differs


async def test_an_outcome_of_a_superseded_attempt_is_fenced_off(opened):
    await opened.intend(intent(attempt="a1"))
    await opened.settle(settlement(Event.LOSE, attempt="a1"))
    await opened.intend(intent(attempt="a2"))

    late = await opened.settle(settlement(Event.ACCEPT, attempt="a1"))

    (part,) = await all_parts(opened)
    assert (late, part.state, part.attempt_id, part.attempts) == (False, ChunkState.INTENDED, "a2", 2)


async def test_an_outcome_that_comes_after_the_crash_is_fenced_off(shelf, identity):
    journal = shelf.journal()
    await journal.open(identity())
    await journal.intend(intent())
    await journal.close()
    again = shelf.journal()
    await again.open(identity())

    late = await again.settle(settlement(Event.NOT_SENT))

    assert (late, await spans(again)) == (False, [(0, 0, 4, "unknown")])
    await again.close()


async def test_an_outcome_comes_once(opened):
    await opened.intend(intent())
    await opened.settle(settlement(Event.REJECT))

    assert await opened.settle(settlement(Event.ACCEPT)) is False
    assert await spans(opened) == [(0, 0, 4, "rejected")]


async def test_an_outcome_without_an_intent_is_void(opened):
    assert await opened.settle(settlement(Event.ACCEPT)) is False


@pytest.mark.parametrize("event", [Event.ACCEPT, Event.REJECT])
async def test_what_is_final_does_not_go_out_again(opened, event):
    await opened.intend(intent())
    await opened.settle(settlement(event))

    with pytest.raises(JournalError, match="cannot be intend"):
        await opened.intend(intent(attempt="a2"))

    (part,) = await all_parts(opened)
    assert (event.value, "a1") == (part.state.value, part.attempt_id)


async def test_what_is_on_its_way_does_not_go_out_again(opened):
    await opened.intend(intent())

    with pytest.raises(JournalError, match="cannot be intend"):
        await opened.intend(intent(attempt="a2"))


async def test_a_new_attempt_forgets_the_outcome_of_the_last(opened):
    await opened.intend(intent())
    await opened.settle(settlement(Event.NOT_SENT, status=429, reference="ref"))

    await opened.intend(intent(attempt="a2", at=3000.0))

    (part,) = await all_parts(opened)
    found = (part.attempts, part.intended_at, part.status, part.reference, part.settled_at)
    assert found == (2, 3000.0, None, None, None)


async def test_a_refused_chunk_is_cut_where_its_ranges_are_sent(opened):
    await opened.intend(intent())
    await opened.settle(settlement(Event.HALVE))

    await opened.intend(intent(start=1, count=2, attempt="a2", body=b"[2,3]"))

    expected = [(0, 0, 1, "pending"), (0, 1, 2, "intended"), (0, 3, 1, "pending")]
    assert expected == await spans(opened)
    assert [part.rows for part in await all_parts(opened)] == [((1, 1),), ((2, 2),), ((4, 1),)]
    assert (await opened.body(0, 1), await opened.body(0, 0)) == (b"[2,3]", None)


async def test_ranges_may_be_cut_across_earlier_ones_and_keep_the_rows_of_their_source(opened):
    await opened.intend(intent(rows=((1, 1), (3, 2), (9, 1))))
    await opened.settle(settlement(Event.HALVE))
    await opened.intend(intent(count=2, attempt="a2", rows=((1, 1), (3, 1)), body=b"[1,2]"))
    await opened.settle(settlement(Event.HALVE, attempt="a2"))

    await opened.intend(intent(start=1, count=2, attempt="a3", rows=((3, 2),), body=b"[2,3]"))

    expected = [(0, 1, ((1, 1),)), (1, 2, ((3, 2),)), (3, 1, ((9, 1),))]
    assert expected == [(part.start, part.count, part.rows) for part in await all_parts(opened)]


async def test_a_cut_chunk_is_recalled_as_its_parts_and_still_compared_as_a_whole(opened):
    await opened.intend(intent())
    await opened.settle(settlement(Event.HALVE))
    await opened.intend(intent(count=2, attempt="a2", body=b"[1,2]"))

    recalled = await opened.recall(0, BODY)

    assert (recalled.differs, [part.start for part in recalled.parts]) == (None, [0, 2])


async def test_a_range_that_touches_a_settled_part_is_refused(opened):
    await opened.intend(intent())
    await opened.settle(settlement(Event.HALVE))
    await opened.intend(intent(count=2, attempt="a2", body=b"[1,2]"))
    await opened.settle(settlement(Event.ACCEPT, attempt="a2"))

    with pytest.raises(JournalError, match="must not cut up a part that is accepted"):
        await opened.intend(intent(start=1, count=2, attempt="a3"))

    assert await spans(opened) == [(0, 0, 2, "accepted"), (0, 2, 2, "pending")]


async def test_a_range_beyond_its_chunk_is_refused(opened):
    await opened.intend(intent())
    await opened.settle(settlement(Event.HALVE))

    with pytest.raises(JournalError, match="within a chunk"):
        await opened.intend(intent(start=2, count=3, attempt="a2"))

    assert await spans(opened) == [(0, 0, 4, "pending")]


async def test_an_unknown_chunk_is_settled_by_hand_as_accepted(opened):
    await opened.intend(intent())
    await opened.settle(settlement(Event.LOSE))

    resolved = await opened.resolve(0, accepted=True)

    assert (resolved, await spans(opened), await opened.body(0, 0)) == (4, [(0, 0, 4, "accepted")], None)


async def test_an_unknown_chunk_is_settled_by_hand_as_not_sent(opened):
    await opened.intend(intent())
    await opened.settle(settlement(Event.LOSE))

    resolved = await opened.resolve(0, accepted=False)

    assert (resolved, await spans(opened), await opened.body(0, 0)) == (4, [(0, 0, 4, "pending")], BODY)


@pytest.mark.parametrize("event", [Event.ACCEPT, Event.REJECT, Event.NOT_SENT])
async def test_only_what_is_unknown_is_settled_by_hand(opened, event):
    await opened.intend(intent())
    await opened.settle(settlement(event))
    before = await spans(opened)

    assert (0, before) == (await opened.resolve(0, accepted=True), await spans(opened))


async def test_of_a_cut_chunk_only_the_unknown_parts_are_settled_by_hand(opened):
    await opened.intend(intent())
    await opened.settle(settlement(Event.HALVE))
    for start, event in ((0, Event.ACCEPT), (1, Event.LOSE), (2, Event.REJECT)):
        await opened.intend(intent(start=start, count=1, attempt=f"b{start}", body=b"[1]"))
        await opened.settle(settlement(event, start=start, attempt=f"b{start}"))

    resolved = await opened.resolve(0, accepted=False)

    expected = [(0, 0, 1, "accepted"), (0, 1, 1, "pending"), (0, 2, 1, "rejected"), (0, 3, 1, "pending")]
    assert (1, expected) == (resolved, await spans(opened))


async def test_parts_come_in_the_order_of_the_source_however_many(opened):
    await asyncio.gather(*(opened.intend(intent(index=index)) for index in reversed(range(450))))

    assert list(range(450)) == [part.index for part in await all_parts(opened)]


async def test_parts_are_chosen_by_state_across_pages(opened):
    await asyncio.gather(*(opened.intend(intent(index=index)) for index in range(450)))
    events = (Event.LOSE, Event.ACCEPT)
    await asyncio.gather(*(opened.settle(settlement(events[index % 2], index=index)) for index in range(450)))

    unknown = [part.index for part in await all_parts(opened, ChunkState.UNKNOWN)]
    both = await all_parts(opened, ChunkState.UNKNOWN, ChunkState.ACCEPTED)

    assert (list(range(0, 450, 2)), 450) == (unknown, len(both))


async def test_the_summary_counts_records_and_finds_the_low_water_mark(opened):
    for index, event in enumerate((Event.ACCEPT, Event.REJECT, Event.LOSE, Event.ACCEPT)):
        await opened.intend(intent(index=index, attempt=f"a{index}"))
        await opened.settle(settlement(event, index=index, attempt=f"a{index}"))

    summary = summarize(await all_parts(opened))

    counts = (summary.records[ChunkState.ACCEPTED], summary.records[ChunkState.REJECTED])
    assert (*counts, summary.records[ChunkState.UNKNOWN], summary.chunks, summary.low_water) == (8, 4, 4, 4, 8)
