"""The life of a chunk in a journal: what is intended, settled, fenced off and cut up."""

from __future__ import annotations

import pytest

from mobiz_async.errors import JournalError
from mobiz_async.journal import ChunkState, Event, Part
from mobiz_async.testing.journal_contract.contract import (
    BODY,
    MakeJournal,
    intent,
    parts_of,
    run,
    settlement,
    spans,
)

__all__ = ["Chunks"]


@pytest.mark.asyncio
class Chunks:
    """Intents and settlements."""

    async def test_what_an_intent_says_is_kept(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent(rows=((1, 2), (7, 2))))

            (part,) = await parts_of(journal)

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

    async def test_what_a_settlement_says_is_kept(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())

            settled = await journal.settle(settlement(Event.REJECT, status=400, reference="ref-1"))

            (part,) = await parts_of(journal)
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
    async def test_a_body_is_kept_from_intent_until_acceptance(
        self, make_journal: MakeJournal, event: Event, state: ChunkState, kept: bytes | None
    ) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())

            await journal.settle(settlement(event))

            (part,) = await parts_of(journal)
            found = (part.state, await journal.body(0, 0), part.has_body)
        assert found == (state, kept, kept is not None)

    async def test_an_outcome_that_comes_after_the_crash_is_fenced_off(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())

        async with run(make_journal) as again:
            settled = await again.settle(settlement(Event.ACCEPT))

            assert (settled, await spans(again)) == (False, [(0, 0, 4, "unknown")])

    async def test_an_outcome_of_a_superseded_attempt_is_fenced_off(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent(attempt="a1"))
            await journal.settle(settlement(Event.LOSE, attempt="a1"))
            await journal.intend(intent(attempt="a2"))

            late = await journal.settle(settlement(Event.ACCEPT, attempt="a1"))

            (part,) = await parts_of(journal)
        assert (late, part.state, part.attempt_id, part.attempts) == (False, ChunkState.INTENDED, "a2", 2)

    async def test_an_outcome_comes_once(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())
            await journal.settle(settlement(Event.REJECT))

            again = await journal.settle(settlement(Event.ACCEPT))

            assert (again, await spans(journal)) == (False, [(0, 0, 4, "rejected")])

    async def test_an_outcome_without_an_intent_is_void(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            settled = await journal.settle(settlement(Event.ACCEPT))

            assert (settled, await parts_of(journal)) == (False, [])

    @pytest.mark.parametrize("event", [Event.ACCEPT, Event.REJECT])
    async def test_what_is_final_does_not_go_out_again(self, make_journal: MakeJournal, event: Event) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())
            await journal.settle(settlement(event))

            with pytest.raises(JournalError):
                await journal.intend(intent(attempt="a2"))

            (part,) = await parts_of(journal)
        assert (event.value, "a1") == (part.state.value, part.attempt_id)

    async def test_what_is_on_its_way_does_not_go_out_again(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())

            with pytest.raises(JournalError):
                await journal.intend(intent(attempt="a2"))

            assert [part.attempt_id for part in await parts_of(journal)] == ["a1"]

    async def test_a_new_attempt_forgets_the_outcome_of_the_last(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())
            await journal.settle(settlement(Event.NOT_SENT, status=429, reference="ref"))

            await journal.intend(intent(attempt="a2", at=3000.0))

            (part,) = await parts_of(journal)
        found = (part.attempts, part.intended_at, part.status, part.reference, part.settled_at)
        assert found == (2, 3000.0, None, None, None)

    async def test_a_refused_chunk_is_cut_where_its_ranges_are_sent(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())
            await journal.settle(settlement(Event.HALVE))

            await journal.intend(intent(start=1, count=2, attempt="a2", body=b"[2,3]"))

            expected = [(0, 0, 1, "pending"), (0, 1, 2, "intended"), (0, 3, 1, "pending")]
            assert expected == await spans(journal)
            assert [part.rows for part in await parts_of(journal)] == [((1, 1),), ((2, 2),), ((4, 1),)]
            assert [await journal.body(0, start) for start in (0, 1, 3)] == [None, b"[2,3]", None]

    async def test_ranges_may_be_cut_across_earlier_ones_and_keep_their_rows(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent(rows=((1, 1), (3, 2), (9, 1))))
            await journal.settle(settlement(Event.HALVE))
            await journal.intend(intent(count=2, attempt="a2", rows=((1, 1), (3, 1)), body=b"[1,2]"))
            await journal.settle(settlement(Event.HALVE, attempt="a2"))

            await journal.intend(intent(start=1, count=2, attempt="a3", rows=((3, 2),), body=b"[2,3]"))

            found = [(part.start, part.count, part.rows) for part in await parts_of(journal)]
        assert found == [(0, 1, ((1, 1),)), (1, 2, ((3, 2),)), (3, 1, ((9, 1),))]

    @pytest.mark.parametrize("event", [Event.ACCEPT, Event.REJECT, Event.LOSE])
    async def test_a_range_that_touches_what_is_not_pending_is_refused(
        self, make_journal: MakeJournal, event: Event
    ) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())
            await journal.settle(settlement(Event.HALVE))
            await journal.intend(intent(count=2, attempt="a2", body=b"[1,2]"))
            await journal.settle(settlement(event, attempt="a2"))
            before = await spans(journal)

            with pytest.raises(JournalError):
                await journal.intend(intent(start=1, count=2, attempt="a3"))

            assert before == await spans(journal)

    async def test_a_range_beyond_its_chunk_is_refused(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())
            await journal.settle(settlement(Event.HALVE))

            with pytest.raises(JournalError):
                await journal.intend(intent(start=2, count=3, attempt="a2"))

            assert await spans(journal) == [(0, 0, 4, "pending")]
