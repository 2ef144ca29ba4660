"""What every journal does, as tests: for whoever writes one of their own. It needs pytest and pytest-asyncio.

A class of tests that derives from ``JournalContract`` and says in a fixture how its journal is made has them all::

    class TestMyJournal(JournalContract):
        @pytest.fixture
        def make_journal(self, tmp_path):
            return lambda: MyJournal(tmp_path / "run")

They cannot show that a write survives a loss of power, nor that a second process is refused: those are for tests that
know what the journal is kept in.
"""

try:
    from mobiz_async.testing.journal_contract.beginnings import Beginnings
    from mobiz_async.testing.journal_contract.chunks import Chunks
    from mobiz_async.testing.journal_contract.records import Records
except ModuleNotFoundError as error:
    if error.name != "pytest":
        raise
    raise ImportError("the tests of a journal need: pip install pytest pytest-asyncio") from None

__all__ = ["JournalContract"]


class JournalContract(Beginnings, Chunks, Records):
    """Tests of a journal; give it a fixture ``make_journal``.

    ``make_journal`` returns a function. What that returns at each call is the same journal, not open, as one process
    after the other would name it; and another one in each test.
    """
