"""What a journal says of the chunks it has: to a run that resumes, and to whoever looks and settles by hand."""

from __future__ import annotations

import asyncio

import pytest

from mobiz_async.journal import ChunkState, Event, summarize
from mobiz_async.testing.journal_contract.contract import (
    BODY,
    MakeJournal,
    intent,
    parts_of,
    run,
    settlement,
    spans,
)

__all__ = ["Records"]

_MANY = 450
"""Chunks: more than a page that a journal may read at a time."""


@pytest.mark.asyncio
class Records:
    """Recalling, looking, resolving."""

    async def test_recall_says_nothing_of_a_chunk_it_does_not_know(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            assert await journal.recall(0, BODY) is None

    async def test_recall_returns_the_parts_of_a_chunk_that_is_the_same(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())

            recalled = await journal.recall(0, bytearray(BODY))

            assert recalled is not None
            assert (recalled.differs, recalled.parts) == (None, tuple(await parts_of(journal)))

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
    async def test_recall_names_the_first_record_that_differs(
        self, make_journal: MakeJournal, body: bytes, differs: int
    ) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())
            await journal.settle(settlement(Event.ACCEPT))

            recalled = await journal.recall(0, body)

        assert recalled is not None
        assert recalled.differs == differs

    async def test_a_cut_chunk_is_recalled_as_its_parts_and_compared_as_a_whole(
        self, make_journal: MakeJournal
    ) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())
            await journal.settle(settlement(Event.HALVE))
            await journal.intend(intent(count=2, attempt="a2", body=b"[1,2]"))

            recalled = await journal.recall(0, BODY)

        assert recalled is not None
        assert (recalled.differs, [part.start for part in recalled.parts]) == (None, [0, 2])

    async def test_the_body_of_a_part_that_never_was_is_none(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            assert await journal.body(3, 0) is None

    async def test_a_body_handed_over_as_a_bytearray_comes_back_as_bytes(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent(body=bytearray(BODY)))

            found = await journal.body(0, 0)

        assert (found, type(found)) == (BODY, bytes)

    @pytest.mark.parametrize(
        ("accepted", "state", "kept"),
        [(True, "accepted", None), (False, "pending", BODY)],
        ids=["accepted", "not sent"],
    )
    async def test_an_unknown_chunk_is_settled_by_hand(
        self, make_journal: MakeJournal, accepted: bool, state: str, kept: bytes | None
    ) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())
            await journal.settle(settlement(Event.LOSE))

            resolved = await journal.resolve(0, accepted=accepted)

            (part,) = await parts_of(journal)
            found = (part.state.value, part.has_body, await journal.body(0, 0))
        assert (resolved, *found) == (4, state, kept is not None, kept)

    @pytest.mark.parametrize("event", [Event.ACCEPT, Event.REJECT, Event.NOT_SENT])
    async def test_only_what_is_unknown_is_settled_by_hand(self, make_journal: MakeJournal, event: Event) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())
            await journal.settle(settlement(event))
            before = await spans(journal)

            resolved = [await journal.resolve(index, accepted=True) for index in (0, 1)]

            assert (resolved, before) == ([0, 0], await spans(journal))

    async def test_of_a_cut_chunk_only_the_unknown_parts_are_settled_by_hand(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())
            await journal.settle(settlement(Event.HALVE))
            for start, event in ((0, Event.ACCEPT), (1, Event.LOSE), (2, Event.REJECT)):
                await journal.intend(intent(start=start, count=1, attempt=f"b{start}", body=b"[1]"))
                await journal.settle(settlement(event, start=start, attempt=f"b{start}"))

            resolved = await journal.resolve(0, accepted=False)

            expected = [(0, 0, 1, "accepted"), (0, 1, 1, "pending"), (0, 2, 1, "rejected"), (0, 3, 1, "pending")]
            assert (1, expected) == (resolved, await spans(journal))

    async def test_parts_come_in_the_order_of_the_source_however_many(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await asyncio.gather(*(journal.intend(intent(index=index)) for index in reversed(range(_MANY))))

            assert [part.index for part in await parts_of(journal)] == list(range(_MANY))

    async def test_parts_are_chosen_by_state_across_pages(self, make_journal: MakeJournal) -> None:
        events = (Event.LOSE, Event.ACCEPT)
        async with run(make_journal) as journal:
            await asyncio.gather(*(journal.intend(intent(index=index)) for index in range(_MANY)))
            settled = await asyncio.gather(
                *(journal.settle(settlement(events[index % 2], index=index)) for index in range(_MANY))
            )

            unknown = [part.index for part in await parts_of(journal, ChunkState.UNKNOWN)]
            both = await parts_of(journal, ChunkState.UNKNOWN, ChunkState.ACCEPTED)

        assert (settled, unknown, len(both)) == ([True] * _MANY, list(range(0, _MANY, 2)), _MANY)

    async def test_its_parts_tell_how_far_everything_is_settled(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            for index, event in enumerate((Event.ACCEPT, Event.REJECT, Event.LOSE, Event.ACCEPT)):
                await journal.intend(intent(index=index, attempt=f"a{index}"))
                await journal.settle(settlement(event, index=index, attempt=f"a{index}"))

            summary = summarize(await parts_of(journal))

        counts = (summary.records[ChunkState.ACCEPTED], summary.records[ChunkState.REJECTED])
        assert (*counts, summary.records[ChunkState.UNKNOWN], summary.chunks, summary.low_water) == (8, 4, 4, 4, 8)
