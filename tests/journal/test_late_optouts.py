"""Who opts out between two runs on one journal is texted by neither from then on, and the run goes on all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from eighteen import SOURCE

from mobiz_async.errors import JournalError, Reason, SourceChangedError, SourceError
from mobiz_async.journal import ChunkState
from mobiz_async.journal.protocol import Part, check_identity
from mobiz_async.late_optouts import LateOptOuts
from mobiz_async.models import OnUnknown, StopReason
from mobiz_async.recipients import suppression_stage
from mobiz_async.recipients.stages import Problem
from mobiz_async.resuming import Fate, plan
from mobiz_async.sandbox import Fault, Faults, Injection

AFTER_APPLY = Fault.RESET_AFTER_APPLY
THROTTLED = [Injection(Fault.THROTTLE, retry_after=0)] * 2


def part(start: int, count: int, state: ChunkState, *rows: tuple[int, int]) -> Part:
    return Part(0, start, count, state, rows[0][0] if rows else 1, rows=rows)


def steps(known: list[Part], withheld: set[int], *, resend: bool = False) -> list[tuple[int, int, Fate]]:
    late = {place: Problem(place + 1, "Number", Reason.SUPPRESSED) for place in withheld}
    made = plan(tuple(known), late, resend_unknown=resend)
    assert [step.late for step in made] == [late[step.start] if step.fate is Fate.WITHHOLD else None for step in made]
    return [(step.start, step.count, step.fate) for step in made]


# The plan for a chunk that an earlier run has made


@pytest.mark.parametrize(
    ("withheld", "expected"),
    [
        (set(), [(0, 4, Fate.SEND)]),
        ({0}, [(0, 1, Fate.WITHHOLD), (1, 3, Fate.SEND)]),
        ({1, 2}, [(0, 1, Fate.SEND), (1, 1, Fate.WITHHOLD), (2, 1, Fate.WITHHOLD), (3, 1, Fate.SEND)]),
        ({3}, [(0, 3, Fate.SEND), (3, 1, Fate.WITHHOLD)]),
        ({0, 1, 2, 3}, [(place, 1, Fate.WITHHOLD) for place in range(4)]),
    ],
    ids=str,
)
def test_what_is_to_go_is_cut_around_who_has_opted_out(withheld, expected) -> None:
    assert steps([part(0, 4, ChunkState.PENDING)], withheld) == expected


@pytest.mark.parametrize(
    ("state", "resend", "fate"),
    [
        (ChunkState.ACCEPTED, True, Fate.KEEP),
        (ChunkState.REJECTED, True, Fate.KEEP),
        (ChunkState.UNKNOWN, False, Fate.KEEP),
        (ChunkState.UNKNOWN, True, Fate.KEEP_IN_DOUBT),
    ],
)
def test_what_may_have_gone_is_kept_whole_where_somebody_in_it_has_opted_out(state, resend, fate) -> None:
    known = [part(0, 2, state), part(2, 2, ChunkState.PENDING)]

    assert steps(known, {1}, resend=resend) == [(0, 2, fate), (2, 2, Fate.SEND)]


def test_of_the_other_parts_of_a_chunk_each_has_its_own_fate() -> None:
    known = [part(0, 2, ChunkState.UNKNOWN), part(2, 3, ChunkState.PENDING), part(5, 1, ChunkState.ACCEPTED)]

    expected = [
        (0, 2, Fate.SEND_IN_DOUBT),
        (2, 1, Fate.SEND),
        (3, 1, Fate.WITHHOLD),
        (4, 1, Fate.SEND),
        (5, 1, Fate.KEEP),
    ]
    assert steps(known, {3, 5}, resend=True) == expected


# Who is spared


class TestSparing:
    records: ClassVar = [{"Number": f"2782000000{number}"} for number in range(1, 9)]

    def test_only_rows_that_are_in_a_chunk_pass_and_in_their_order(self) -> None:
        late = LateOptOuts()
        stage = late.sparing(suppression_stage("Number", ["27820000002", "27820000005", "27820000007"]))
        late.note(part(0, 3, ChunkState.ACCEPTED, (1, 1), (5, 2)))

        staged = stage(self.records, range(1, 9))

        assert list(staged.rows) == [1, 3, 4, 5, 6, 8]
        assert staged.records == [self.records[row - 1] for row in staged.rows]
        assert [problem.row for problem in staged.problems] == [2, 7]

    def test_they_are_found_again_by_their_places_in_a_chunk_and_forgotten(self) -> None:
        late = LateOptOuts()
        stage = late.sparing(suppression_stage("Number", ["27820000005", "27820000006"]))
        late.note(part(0, 3, ChunkState.ACCEPTED, (1, 1), (5, 2)))
        stage(self.records, range(1, 9))

        found = late.within([(1, 1), (5, 2)])
        late.forget(found.values())

        assert {place: problem.row for place, problem in found.items()} == {1: 5, 2: 6}
        assert late.within([(1, 1), (5, 2)]) == {}

    def test_those_of_other_chunks_are_not_among_them(self) -> None:
        late = LateOptOuts()
        stage = late.sparing(suppression_stage("Number", ["27820000001", "27820000008"]))
        late.note(part(0, 8, ChunkState.ACCEPTED, (1, 8)))
        stage(self.records, range(1, 9))

        assert late.within([(3, 2), (6, 2)]) == {}

    def test_a_record_that_is_bad_otherwise_is_not_spared(self) -> None:
        late = LateOptOuts()
        stage = late.sparing(suppression_stage("Number", ["27820000001"]))
        late.note(part(0, 1, ChunkState.ACCEPTED, (1, 1)))

        staged = stage([{"Number": "27820000001"}, {"Number": "27820000001"}], range(1, 3))

        assert (list(staged.rows), [problem.row for problem in staged.problems]) == ([1], [2])

    def test_without_an_earlier_run_the_stage_is_as_it_was(self) -> None:
        suppression = suppression_stage("Number", ["27820000001"])
        stage = LateOptOuts().sparing(suppression)

        assert stage(self.records, range(1, 9)) == suppression(self.records, range(1, 9))


# Runs that go on


@pytest.mark.parametrize("place", range(8))
async def test_who_was_texted_and_opts_out_does_not_keep_the_others_from_their_text(sandbox, send, place) -> None:
    """Chunks 0 and 1 had gone; the rest has not."""
    sandbox.faults = Faults.script([None, None, Fault.QUOTA])
    first = await send(concurrency=1, suppress=[])
    assert (first.accepted, first.stopped) == (8, StopReason.QUOTA)

    second = await send(concurrency=1, suppress=[SOURCE[place]])

    assert (second.accepted, second.resumed, second.skipped, second.ok) == (18, 8, 0, True)
    assert sandbox.applied("1") == dict.fromkeys(SOURCE, 1)


@pytest.mark.parametrize("places", [{8}, {9, 10}, {11}, {8, 9, 10, 11}, {3, 9, 14}], ids=str)
async def test_who_was_not_texted_and_opts_out_never_is(sandbox, send, look, places) -> None:
    """The journal holds chunk 2 as pending: it was throttled to the end."""
    sandbox.faults = Faults.script([None, None, *THROTTLED])
    first = await send(SOURCE[:16], concurrency=1, suppress=[])
    assert (first.accepted, first.not_sent) == (12, 4)
    told: list[Any] = []

    second = await send(
        SOURCE[:16], concurrency=1, suppress=[SOURCE[place] for place in places], on_skipped=told.append
    )

    out = {place for place in places if 8 <= place < 12}
    assert (second.accepted, second.resumed, second.skipped, second.ok) == (16 - len(out), 12, len(out), True)
    assert (second.failures, second.failed_chunks) == ((), 0)
    assert sandbox.applied("1") == {number: 1 for at, number in enumerate(SOURCE[:16]) if at not in out}
    assert sorted((problem.row, problem.record["Number"]) for problem in told) == [
        (place + 1, SOURCE[place]) for place in sorted(out)
    ]
    assert second.skipped_by_reason == {"on the suppression list": len(out)}
    assert await look() == {ChunkState.ACCEPTED: 16 - len(out), ChunkState.PENDING: len(out)}


async def test_they_are_passed_over_however_often_the_run_goes_on(sandbox, send) -> None:
    sandbox.faults = Faults.script([None, *THROTTLED])
    await send(concurrency=1, suppress=[])
    await send(concurrency=1, suppress=[SOURCE[5]])

    third = await send(concurrency=1, suppress=[SOURCE[5]])

    assert (third.accepted, third.skipped, third.requests, SOURCE[5] in sandbox.applied("1")) == (17, 1, 0, False)


@pytest.mark.parametrize("on_unknown", [OnUnknown.KEEP, OnUnknown.RESEND])
async def test_what_is_unknown_does_not_go_again_with_who_has_opted_out(sandbox, send, look, on_unknown) -> None:
    sandbox.faults = Faults.script([None, AFTER_APPLY])
    await send(concurrency=1, suppress=[])

    report = await send(concurrency=1, suppress=[SOURCE[4]], on_unknown=on_unknown)

    assert (report.accepted, report.unknown, report.requests) == (14, 4, 0)
    assert ("somebody in it has opted out" in str(report.failures[0].error)) == (on_unknown == "resend")
    assert await look() == {ChunkState.ACCEPTED: 14, ChunkState.UNKNOWN: 4}


async def test_who_opts_out_before_anybody_has_put_them_into_a_chunk_is_in_none(sandbox, send) -> None:
    sandbox.faults = Faults.script([None, Fault.QUOTA])
    await send(concurrency=1, suppress=[])

    report = await send(concurrency=1, suppress=[SOURCE[12], SOURCE[13]])

    assert (report.accepted, report.skipped, report.chunks) == (16, 2, 4)
    assert set(SOURCE) - set(sandbox.applied("1")) == {SOURCE[12], SOURCE[13]}


async def test_a_run_that_is_stopped_on_the_way_counts_them_once(sandbox, mobiz, shelf) -> None:
    sandbox.faults = Faults.script([None, *THROTTLED])
    options = {"journal": shelf.journal(), "chunk_size": 4, "concurrency": 1}
    await mobiz.send_bulk("1", SOURCE, suppress=[], **options)
    sandbox.faults = Faults.script([Fault.QUOTA])

    report = await mobiz.send_bulk("1", SOURCE, suppress=[SOURCE[5], SOURCE[7]], **options)

    # Of 4 to 7: the first meets the quota, the third is not tried any more, and two have opted out.
    assert (report.accepted, report.not_sent, report.skipped, report.requests) == (14, 2, 2, 1)


async def test_what_a_callback_raises_for_one_of_them_ends_the_run_with_its_books_balanced(sandbox, mobiz, shelf):
    sandbox.faults = Faults.script([None, *THROTTLED])
    options = {"journal": shelf.journal(), "chunk_size": 4, "concurrency": 1}
    await mobiz.send_bulk("1", SOURCE, suppress=[], **options)

    def told(problem: Any) -> None:
        raise ValueError("no room")

    async with mobiz.bulk("1", SOURCE, suppress=[SOURCE[5]], on_skipped=told, **options) as run:
        with pytest.raises(ValueError, match="no room"):
            await run.finish()

    assert run.report is not None
    assert (run.report.skipped, run.report.accepted + run.report.not_sent + run.report.skipped) == (1, 18)


async def test_a_record_that_has_moved_out_of_its_chunk_is_a_changed_source(sandbox, send) -> None:
    """A bad row was taken out: every chunk is as it was, but behind it no record is in its row.

    So the ninth is in a row that had been in a chunk, and is in none that the journal knows.
    """

    def broken() -> Iterator[str | None]:
        yield from [*SOURCE[:4], None, *SOURCE[4:8]]
        raise OSError

    with pytest.raises(SourceError):
        await send(broken(), suppress=[], on_invalid="skip")

    with pytest.raises(SourceChangedError) as raised:
        await send(SOURCE, suppress=[SOURCE[8]], on_invalid="skip")

    assert raised.value.row == 9
    assert sandbox.applied("1") == dict.fromkeys(SOURCE[:8], 1)


async def test_a_list_may_be_added_and_not_be_left_out_again(send) -> None:
    await send()
    added = await send(suppress=[SOURCE[0]])

    with pytest.raises(JournalError, match=r"a run with a suppression list: to go on takes that list"):
        await send()

    assert (added.accepted, added.requests) == (18, 0)


@pytest.mark.parametrize("suppress", [[], [SOURCE[1]]], ids=["nobody", "one"])
async def test_a_list_may_be_added_to_a_run_whose_records_have_their_fields_in_many_orders(
    sandbox, mobiz, shelf, suppress
) -> None:
    """The order in which they go must not depend on whether there is a list."""
    source = [{"Number": SOURCE[0], "B": 1, "A": 2}, {"A": 3, "Number": SOURCE[1]}, {"B": 4, "Number": SOURCE[2]}]
    options = {"chunk_size": 1, "concurrency": 1}
    sandbox.faults = Faults.script([None, None, Fault.QUOTA])
    await mobiz.send_bulk("1", source, journal=shelf.journal(), **options)

    report = await mobiz.send_bulk("1", source, journal=shelf.journal(), suppress=suppress, **options)

    assert (report.accepted, report.resumed, report.stopped) == (3, 2, None)
    assert sandbox.applied("1") == dict.fromkeys(SOURCE[:3], 1)


def test_nothing_else_may_be_added_to_a_run() -> None:
    with pytest.raises(JournalError, match=r"different dedupe$"):
        check_identity({"list id": "1"}, {"list id": "1", "dedupe": "x", "suppression": "y"})
