"""What every journal does: the same suite over each of them."""

from __future__ import annotations

import pytest

from mobiz_async.errors import JournalError
from mobiz_async.journal import Event, MemoryJournal, SQLiteJournal
from mobiz_async.journal.guarded import Guarded
from mobiz_async.testing.journal_contract import JournalContract
from mobiz_async.testing.journal_contract.contract import IDENTITY, intent, settlement


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def make_journal(self):
        journal = MemoryJournal()
        return lambda: journal


class TestSQLiteJournal(JournalContract):
    @pytest.fixture
    def make_journal(self, tmp_path):
        return lambda: SQLiteJournal(tmp_path / "run.journal")


class TestGuardedJournal(JournalContract):
    @pytest.fixture
    def make_journal(self):
        journal = Guarded(MemoryJournal())
        return lambda: journal


# What those that come with the library say


@pytest.mark.parametrize(
    ("changes", "named"), [({"list id": "2"}, "list id"), ({"list id": "2", "checks": "others"}, "checks, list id")]
)
async def test_the_journal_of_another_run_says_in_what_it_differs(shelf, changes, named):
    journal = shelf.journal()
    await journal.open(IDENTITY)
    await journal.close()

    with pytest.raises(JournalError) as caught:
        await shelf.journal().open({**IDENTITY, **changes})

    assert str(caught.value) == f"the journal belongs to another run: different {named}"


async def test_a_journal_in_use_says_so(shelf):
    journal = shelf.journal()
    await journal.open(IDENTITY)

    with pytest.raises(JournalError, match="in use"):
        await shelf.journal().open(IDENTITY)

    await journal.close()


async def test_a_journal_names_the_step_that_there_is_not(opened):
    await opened.intend(intent())
    await opened.settle(settlement(Event.ACCEPT))

    with pytest.raises(JournalError) as caught:
        await opened.intend(intent(attempt="a2"))

    assert str(caught.value) == "in the life of a chunk, 'accepted' is not followed by 'intend'"


async def test_an_intent_that_does_not_fit_is_told_why(opened):
    await opened.intend(intent())
    await opened.settle(settlement(Event.HALVE))

    with pytest.raises(JournalError, match="within a chunk"):
        await opened.intend(intent(start=2, count=3, attempt="a2"))

    await opened.intend(intent(count=2, attempt="a2", body=b"[1,2]"))
    await opened.settle(settlement(Event.ACCEPT, attempt="a2"))
    with pytest.raises(JournalError, match="must not cut up a part that is accepted"):
        await opened.intend(intent(start=1, count=2, attempt="a3"))
