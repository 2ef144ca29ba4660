"""What was read and never dispatched, when a bulk run ends early: handed out as what it is, and counted once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pytest

from mobiz_async import ChunkState, MemoryJournal, MobizClient, OnInvalid, Outcome, SourceError
from mobiz_async.errors import InvalidRecordError
from mobiz_async.testing import FakeTransport, timeout

FIRST, SECOND, THIRD, FOURTH = ({"Number": f"2782123456{digit}"} for digit in range(4))


def breaking_off(*records: Any) -> Iterator[Any]:
    yield from records
    raise OSError("gone")


async def outcomes(mobiz: MobizClient, records: Any, **options: Any) -> tuple[list[Any], Any]:
    """Every outcome of a run that ends with an error: (records with their rows, outcome, resumed), and the error."""
    found = []
    try:
        async with mobiz.bulk("1", records, chunk_size=2, **options) as run:
            async for chunk in run:
                found.append((list(chunk.records()), chunk.outcome, chunk.resumed))  # noqa: PERF401  kept on errors
    except (SourceError, InvalidRecordError) as error:
        return found, error
    raise AssertionError("the run ended well")


async def test_a_chunk_that_was_not_full_yet_is_handed_out_as_not_sent() -> None:
    async with MobizClient(transport=FakeTransport()) as mobiz:
        found, error = await outcomes(mobiz, breaking_off(*[FIRST, SECOND] * 125, THIRD))

    assert (found[0], found[-1]) == (([], Outcome.ACCEPTED, False), ([(251, THIRD)], Outcome.NOT_SENT, False))
    assert (error.report.read, error.report.accepted + error.report.not_sent) == (251, 251)


async def test_records_around_one_that_is_invalid_are_handed_out() -> None:
    async with MobizClient(transport=FakeTransport()) as mobiz:
        found, error = await outcomes(mobiz, [FIRST, {}, THIRD], on_invalid=OnInvalid.RAISE)

    assert found == [([(1, FIRST), (3, THIRD)], Outcome.NOT_SENT, False)]
    assert (error.report.read, error.report.not_sent) == (3, 3)


@pytest.mark.parametrize(
    ("again", "resumed", "expected"),
    [
        ([FIRST, SECOND, THIRD], 3, [([], Outcome.ACCEPTED, True), ([], Outcome.ACCEPTED, True)]),
        ([FIRST, SECOND, FOURTH], 2, [([], Outcome.ACCEPTED, True), ([(3, FOURTH)], Outcome.UNKNOWN, False)]),
    ],
)
async def test_what_an_earlier_run_has_settled_stays_settled(
    again: list[Any], resumed: int, expected: list[Any]
) -> None:
    """Part of a chunk that was accepted as a whole: not sent would be an invitation to send it twice.

    So it would be of one that stands elsewhere than it did then.
    """
    journal = MemoryJournal()
    async with MobizClient(transport=FakeTransport()) as mobiz:
        await mobiz.send_bulk("1", [FIRST, SECOND, THIRD, FOURTH], chunk_size=2, journal=journal)
        found, error = await outcomes(mobiz, breaking_off(*again), journal=journal)

    assert found == expected
    assert (error.report.read, error.report.resumed) == (3, resumed)


class Careless(MemoryJournal):
    """Opened, it still has an intent without an outcome, which the contract of journals forbids."""

    async def open(self, identity: Mapping[str, str] | None) -> bool:
        resumable = await super().open(identity)
        for part in [part async for part in self.parts(ChunkState.UNKNOWN)]:
            self._put(attrs.evolve(part, state=ChunkState.INTENDED))
        return resumable


async def test_an_intent_without_an_outcome_is_unknown_whatever_the_journal_makes_of_it() -> None:
    fake = FakeTransport([timeout()])
    async with MobizClient(transport=fake) as mobiz:
        journal = Careless()
        await mobiz.send_bulk("1", [FIRST], journal=journal)
        report = await mobiz.send_bulk("1", [FIRST], journal=journal)

    assert (report.unknown, report.not_sent, report.resumed, len(fake.requests)) == (1, 0, 1, 1)
