"""How a journal is opened, by whom, and what it knows when it is opened again."""

from __future__ import annotations

import contextlib

import pytest

from mobiz_async.errors import JournalError
from mobiz_async.journal import Event
from mobiz_async.testing.journal_contract.contract import (
    BODY,
    IDENTITY,
    MakeJournal,
    intent,
    parts_of,
    run,
    settlement,
    spans,
)

__all__ = ["Beginnings"]


@pytest.mark.asyncio
class Beginnings:
    """Opening, closing and opening again."""

    async def test_a_new_journal_has_nothing_to_resume(self, make_journal: MakeJournal) -> None:
        journal = make_journal()

        resuming = await journal.open(IDENTITY)

        assert (resuming, await parts_of(journal), await journal.end()) == (False, [], None)
        await journal.close()

    async def test_it_has_something_to_resume_as_soon_as_it_has_a_part(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.note_end(0)
        journal = make_journal()
        before = await journal.open(IDENTITY)
        await journal.intend(intent())
        await journal.close()

        after = await journal.open(IDENTITY)
        await journal.close()

        assert (before, after) == (False, True)

    async def test_closed_and_opened_again_it_knows_what_it_knew(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent(rows=((1, 2), (7, 2))))
            await journal.settle(settlement(Event.REJECT, status=400, reference="ref-1"))
            await journal.note_end(9)
            before = await parts_of(journal)

        async with run(make_journal) as again:
            found = (await parts_of(again), await again.body(0, 0), await again.end())

        assert found == (before, BODY, 9)

    async def test_the_end_of_a_source_may_be_noted_again(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            for records in (7, 8):
                await journal.note_end(records)

            assert await journal.end() == 8  # noqa: PLR2004  the later of the two

    async def test_closing_twice_is_harmless(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.close()
            await journal.close()

    async def test_nothing_is_written_to_a_journal_that_is_closed(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            pass

        with pytest.raises(JournalError):
            await journal.intend(intent())

    async def test_an_intent_without_an_outcome_is_unknown_when_opened_again(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())

        async with run(make_journal) as again:
            assert await spans(again) == [(0, 0, 4, "unknown")]

    async def test_it_is_unknown_to_whoever_only_looks_as_well(self, make_journal: MakeJournal) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())

        looking = make_journal()
        left = await looking.open(None)

        assert (left, await spans(looking)) == (True, [(0, 0, 4, "unknown")])
        await looking.close()

    async def test_it_tells_which_run_it_belongs_to(self, make_journal: MakeJournal) -> None:
        async with run(make_journal):
            pass

        looking = make_journal()
        await looking.open(None)

        assert dict(await looking.identity()) == IDENTITY
        await looking.close()

    async def test_looking_into_a_journal_that_no_run_has_used_leaves_nothing_behind(
        self, make_journal: MakeJournal
    ) -> None:
        looking = make_journal()
        with contextlib.suppress(JournalError):  # it may refuse as well
            assert await looking.open(None) is False
            await looking.close()

        async with run(make_journal) as journal:
            assert (await parts_of(journal), dict(await journal.identity())) == ([], IDENTITY)

    @pytest.mark.parametrize("second", [IDENTITY, None], ids=["run", "look"])
    async def test_beside_a_run_it_is_open_for_nobody(
        self, make_journal: MakeJournal, second: dict[str, str] | None
    ) -> None:
        async with run(make_journal) as journal:
            await journal.intend(intent())

            with pytest.raises(JournalError):
                await make_journal().open(second)

            assert await spans(journal) == [(0, 0, 4, "intended")]

    @pytest.mark.parametrize("second", [IDENTITY, None], ids=["run", "look"])
    async def test_beside_who_looks_it_is_open_for_nobody(
        self, make_journal: MakeJournal, second: dict[str, str] | None
    ) -> None:
        async with run(make_journal):
            pass
        looking = make_journal()
        await looking.open(None)

        with pytest.raises(JournalError):
            await make_journal().open(second)

        await looking.close()
        async with run(make_journal):  # as soon as it is closed
            pass

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"list_id": "2"}, ["list id"]),
            ({"chunk_size": "5"}, ["chunk size"]),
            ({"list_id": "2", "checks": "others"}, ["checks", "list id"]),
            ({"region": "ZA"}, ["region"]),
        ],
    )
    async def test_the_journal_of_another_run_is_refused_and_the_difference_named(
        self, make_journal: MakeJournal, changes: dict[str, str], named: list[str]
    ) -> None:
        async with run(make_journal):
            pass

        with pytest.raises(JournalError) as caught:
            async with run(make_journal, **changes):
                pass

        assert [name for name in named if name not in str(caught.value)] == []
        async with run(make_journal):  # a refusal leaves it as it was: its own run goes on
            pass

    async def test_a_suppression_list_may_be_added_and_then_belongs_to_it(self, make_journal: MakeJournal) -> None:
        async with run(make_journal):
            pass
        async with run(make_journal, suppression="list") as journal:
            added = dict(await journal.identity())

        with pytest.raises(JournalError):
            async with run(make_journal):
                pass

        assert added == {**IDENTITY, "suppression": "list"}
