"""``OnRejected.SPLIT`` against a server that refuses a body as a whole: the bad records found, the others sent once."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from mobiz_async.journal import ChunkState, SQLiteJournal
from mobiz_async.models import OnRejected, Outcome, StopReason
from mobiz_async.sandbox import Fault, Faults, Injection

DEFINITION = {"Number": "msisdn", "Age": "numeric"}


def records(count: int, bad: set[int]) -> list[dict[str, str]]:
    """Records of which those at ``bad`` (from 0) are not what the list takes."""
    return [
        {"Number": f"2782{position:07d}", "Age": "unknown" if position in bad else "30"} for position in range(count)
    ]


@pytest.fixture
def sandbox(sandbox):
    sandbox.add_list(DEFINITION, id="9")
    return sandbox


@pytest.fixture
def split(mobiz):
    async def split(source, **options):
        return await mobiz.send_bulk("9", source, on_rejected=OnRejected.SPLIT, failures_kept=500, **options)

    return split


@pytest.mark.parametrize("bad", [1, 7, 100])
async def test_of_ten_thousand_the_bad_ones_are_named_and_the_others_accepted_once(sandbox, split, bad):
    places = set(random.Random(bad).sample(range(10_000), bad))

    report = await split(records(10_000, places))

    applied = sandbox.applied("9")
    assert (report.accepted, report.rejected) == (10_000 - bad, bad)
    assert (len(applied), set(applied.values())) == (10_000 - bad, {1})
    assert [row - 1 for row in sorted(chunk.first_record for chunk in report.failures)] == sorted(places)
    assert {(chunk.count, chunk.outcome) for chunk in report.failures} == {(1, Outcome.REJECTED)}
    assert report.requests == len(sandbox.requests) <= 2 * bad * math.log2(10_000 / bad) + 10


async def test_it_is_off_unless_asked_for(sandbox, mobiz):
    report = await mobiz.send_bulk("9", records(8, {3}), chunk_size=4)

    assert (report.accepted, report.rejected, report.requests) == (4, 4, 2)


async def test_rows_are_those_of_the_source_where_records_were_skipped(split):
    source = [*records(3, set()), {"Number": ""}, *records(8, {5})[4:]]

    report = await split(source, on_invalid="skip")

    assert [(chunk.first_record, chunk.count) for chunk in report.failures] == [(6, 1)]


async def test_the_bad_records_themselves_are_handed_out_while_the_run_is_watched(mobiz):
    found = []
    async with mobiz.bulk("9", records(20, {2, 11}), on_rejected="split") as run:
        async for chunk in run:
            if chunk.outcome is Outcome.REJECTED:
                found.extend(chunk.records())

    assert sorted(found) == [(3, records(20, {2})[2]), (12, records(20, {11})[11])]


async def test_a_spent_budget_leaves_the_rest_rejected_and_unsent(sandbox, split):
    report = await split(records(1000, {500}), max_split_requests=3)

    assert (report.requests, report.accepted + report.rejected) == (4, 1000)
    assert sandbox.applied("9").total() == report.accepted < 1000


async def test_what_a_spent_budget_left_rejected_is_so_for_the_run_that_goes_on(sandbox, split, tmp_path):
    journal = SQLiteJournal(tmp_path / "j")
    first = await split(records(64, {40}), max_split_requests=2, journal=journal)
    await journal.open(None)
    ids = [part.attempt_id async for part in journal.parts()]
    await journal.close()

    again = await split(records(64, {40}), journal=journal)

    assert (again.requests, again.accepted, again.rejected) == (0, first.accepted, first.rejected) == (0, 32, 32)
    assert all(ids)
    assert len(set(ids)) == len(ids)


async def test_a_budget_of_none_is_no_split(split):
    report = await split(records(10, {5}), max_split_requests=0)

    assert (report.requests, report.accepted, report.rejected) == (1, 0, 10)


async def test_the_budget_is_for_the_whole_run(split):
    report = await split(records(40, {5, 15, 25, 35}), chunk_size=10, max_split_requests=6, concurrency=1)

    assert report.requests == 4 + 6


@pytest.mark.parametrize(
    "fault",
    [
        Fault.UNAUTHORIZED,
        Fault.QUOTA,
        Injection(Fault.THROTTLE, retry_after=0),
        Fault.ERROR_500_UNAPPLIED,
        Fault.ERROR_502_AFTER_APPLY,
        Fault.UNAVAILABLE,
        Fault.UNAVAILABLE_RETRY_AFTER,
        Fault.RESET_AFTER_APPLY,
        Fault.RESET_UNAPPLIED,
        Fault.HTML_200_AFTER_APPLY,
        Fault.REDIRECT_301,
        Fault.REDIRECT_307,
    ],
    ids=lambda fault: getattr(fault, "value", "throttle"),
)
async def test_nothing_but_a_definite_refusal_of_the_body_is_split(sandbox, split, fault):
    sandbox.faults = Faults.always(fault)

    report = await split(records(8, set()))

    assert {request.records or 0 for request in sandbox.requests} <= {0, 8}
    assert (report.read, report.accepted) == (8, 0)


@pytest.mark.parametrize("fault", [Fault.ERROR_400_LOGIC_APPS, Fault.EARLY_413])
async def test_a_refusal_of_the_body_by_the_gateway_is_split(sandbox, split, fault):
    sandbox.faults = Faults.script([fault])

    report = await split(records(8, set()))

    assert (report.accepted, report.rejected) == (8, 0)
    assert set(sandbox.applied("9").values()) == {1}


async def test_an_unknown_part_is_left_alone_and_the_search_goes_on(sandbox, split):
    sandbox.faults = Faults.script([None, Fault.RESET_AFTER_APPLY])

    report = await split(records(64, {40}))

    assert (report.rejected, report.unknown) == (1, 32)
    assert report.accepted == 31
    assert set(sandbox.applied("9").values()) == {1}


async def test_refused_credentials_in_the_middle_stop_the_run_and_leave_the_rest_pending(sandbox, split, tmp_path):
    sandbox.faults = Faults.script([None, None, Fault.UNAUTHORIZED])
    journal = SQLiteJournal(tmp_path / "j")

    report = await split(records(64, {40}), journal=journal)

    assert (report.stopped, report.accepted) == (StopReason.CREDENTIALS, 32)
    assert report.requests == len(sandbox.requests) == 3
    again = await split(records(64, {40}), journal=journal)
    assert set(sandbox.applied("9").values()) == {1}
    assert again.accepted + again.rejected == 64


@pytest.mark.parametrize("stop_behind", range(1, 12))
async def test_a_split_that_was_cut_short_goes_on_where_it_was(sandbox, mobiz, tmp_path, stop_behind):
    """Every record is sent to acceptance at most once, whenever the run is stopped; the bad ones are still found."""
    source = records(64, {7, 40, 41})
    journal = SQLiteJournal(tmp_path / "j")
    options = {"on_rejected": "split", "journal": journal}

    async with mobiz.bulk("9", source, **options) as run:

        def stop(_: object) -> None:
            if len(sandbox.requests) >= stop_behind:
                run.stop()

        mobiz._deliverer.events = (stop,)
        await run.finish()
    mobiz._deliverer.events = ()
    before = len(sandbox.requests)
    report = await mobiz.send_bulk("9", source, **options)

    assert (before, report.accepted, report.rejected) == (stop_behind, 61, 3)
    assert set(sandbox.applied("9").values()) == {1}
    await journal.open(None)
    states = [part async for part in journal.parts(ChunkState.REJECTED)]
    await journal.close()
    assert [part.first_record for part in states if part.count == 1] == [8, 41, 42]


async def cancelled(run, sandbox) -> None:
    """Cancel a run when the sandbox holds a request of it back."""
    task = asyncio.create_task(run.finish())
    await sandbox.until(lambda: sandbox.held == 1)
    task.cancel()
    await asyncio.wait([task])
    sandbox.release()


def covered(report) -> list[int]:
    """Return the rows of its failures."""
    return sorted(
        row for chunk in report.failures for first, length in chunk.runs for row in range(first, first + length)
    )


async def test_a_split_that_is_cancelled_names_what_it_did_not_come_to(sandbox, mobiz):
    sandbox.faults = Faults.script([None, None, Fault.HANG_UNAPPLIED])

    async with mobiz.bulk("9", records(64, {40}), on_rejected="split") as run:
        await cancelled(run, sandbox)

    report = run.report
    assert run.stats.in_flight == 0
    assert (report.accepted, report.rejected, report.unknown, report.not_sent) == (32, 0, 16, 16)
    assert covered(report) == list(range(33, 65))


async def test_a_resumed_split_that_is_cancelled_counts_what_was_settled_before(sandbox, mobiz, tmp_path):
    journal = SQLiteJournal(tmp_path / "j")
    options = {"on_rejected": "split", "journal": journal}
    async with mobiz.bulk("9", records(64, {60}), **options) as run:
        sandbox.faults = Faults.script([None, Fault.RESET_AFTER_APPLY, None, None, Fault.UNAUTHORIZED])
        await run.finish()
    await journal.open(None)
    await journal.resolve(0, accepted=False)
    before = {part.start: (part.count, part.state) async for part in journal.parts()}
    await journal.close()
    sandbox.faults = Faults.script([Fault.HANG_UNAPPLIED])

    async with mobiz.bulk("9", records(64, {60}), **options) as run:
        await cancelled(run, sandbox)

    assert before[0] == (32, ChunkState.PENDING)
    assert before[32] == (16, ChunkState.ACCEPTED)
    report = run.report
    assert (report.accepted, report.rejected, report.unknown, report.not_sent) == (16, 0, 32, 16)
    assert covered(report) == [*range(1, 33), *range(49, 65)]


async def test_a_part_that_is_refused_for_another_reason_is_not_split_again(sandbox, split):
    """A refusal that is not of the body says nothing about where the bad record is; the part is settled with it."""
    sandbox.faults = Faults.script([None, Fault.REJECTED_200])

    report = await split(records(64, {40}))

    assert (report.accepted, report.rejected, report.stopped) == (31, 33, None)
    assert sorted(chunk.count for chunk in report.failures) == [1, 32]
    assert len(sandbox.requests) == report.requests


async def test_a_part_that_is_in_doubt_stays_unknown_and_is_not_split_again(sandbox, split):
    """It may have been applied before it was refused: no half of it may go out for the sake of a bad record."""
    sandbox.faults = Faults.script([None, Fault.RESET_AFTER_APPLY, Fault.ERROR_400_LOGIC_APPS])

    report = await split(records(64, {40}), on_unknown="resend")

    assert (report.accepted, report.rejected, report.unknown, report.stopped) == (31, 1, 32, None)
    assert set(sandbox.applied("9").values()) == {1}


async def test_a_budget_that_is_just_enough_finds_as_much_as_a_large_one(split):
    free = await split(records(16, {5, 9}))

    enough = await split(records(16, {5, 9}), max_split_requests=free.requests - 1)

    assert (enough.requests, enough.accepted, enough.rejected) == (free.requests, 14, 2)
    assert [chunk.first_record for chunk in enough.failures] == [6, 10]
