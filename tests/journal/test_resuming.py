"""The same call with the same journal goes on: what was accepted stays, what was not goes, what is unknown is asked."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from eighteen import SOURCE

from mobiz_async.errors import InvalidPayloadError, JournalError, SourceChangedError, SourceError
from mobiz_async.journal import ChunkState, Event
from mobiz_async.journal.protocol import Intent, Settlement
from mobiz_async.models import OnUnknown, Outcome, StopReason
from mobiz_async.sandbox import Fault, Faults, Injection

AFTER_APPLY = Fault.RESET_AFTER_APPLY


async def test_a_run_that_went_well_sends_nothing_the_second_time(sandbox, send):
    await send()
    before = len(sandbox.requests)

    report = await send()

    assert (report.accepted, report.resumed, report.requests, len(sandbox.requests)) == (18, 18, 0, before)
    assert report.ok


async def test_what_was_not_sent_goes_when_resumed(sandbox, send, look):
    sandbox.faults = Faults.script([None, Fault.UNAUTHORIZED])
    first = await send(concurrency=1)
    assert (first.stopped, sandbox.applied_total) == (StopReason.CREDENTIALS, 4)

    second = await send(concurrency=1)

    assert (first.rejected, second.accepted, second.resumed) == (4, 18, 4)
    assert set(sandbox.applied("1").values()) == {1}
    assert await look() == {ChunkState.ACCEPTED: 18}


async def test_what_was_rejected_is_not_sent_again_and_says_so(sandbox, send):
    sandbox.faults = Faults.script([None, Fault.ERROR_400_LOGIC_APPS])
    await send(concurrency=1)

    report = await send(concurrency=1)

    with pytest.raises(InvalidPayloadError) as raised:
        report.raise_for_failures()
    assert str(raised.value) == "SendBulkMessages: rejected by an earlier run (HTTP 400)"
    assert (raised.value.report is report, report.rejected, report.requests) == (True, 4, 0)


async def test_what_was_throttled_to_the_end_is_pending_and_goes_when_resumed(sandbox, send, look):
    throttle = Injection(Fault.THROTTLE, retry_after=0)
    sandbox.faults = Faults.script([None, throttle, throttle])
    first = await send(concurrency=1)
    assert (first.accepted, first.not_sent) == (14, 4)
    assert await look() == {ChunkState.ACCEPTED: 14, ChunkState.PENDING: 4}

    second = await send()

    assert (second.accepted, second.resumed, second.requests) == (18, 14, 1)


async def test_unknown_is_kept_and_not_sent_again(sandbox, send, look):
    sandbox.faults = Faults.script([None, AFTER_APPLY])
    await send()

    report = await send(on_unknown=OnUnknown.KEEP)

    assert (report.unknown, report.requests, report.failures[0].resumed) == (4, 0, True)
    assert set(sandbox.applied("1").values()) == {1}
    assert await look() == {ChunkState.ACCEPTED: 14, ChunkState.UNKNOWN: 4}


async def test_unknown_from_an_earlier_run_stops_a_run_that_is_to_stop_at_it(sandbox, send):
    sandbox.faults = Faults.script([None, AFTER_APPLY])
    await send()
    before = len(sandbox.requests)

    report = await send(on_unknown=OnUnknown.STOP)

    assert (report.stopped, report.unknown, len(sandbox.requests)) == (StopReason.UNKNOWN, 4, before)


@pytest.mark.parametrize(("fault", "times"), [(AFTER_APPLY, 2), (Fault.RESET_UNAPPLIED, 1)])
async def test_unknown_is_sent_again_where_the_caller_says_so(sandbox, send, look, fault, times):
    sandbox.faults = Faults.script([None, fault])
    first = await send(concurrency=1)

    report = await send(on_unknown=OnUnknown.RESEND)

    assert (first.unknown, report.accepted, report.requests) == (4, 18, 1)
    repeated = {number for number, applied in sandbox.applied("1").items() if applied == times}
    assert set(SOURCE[4:8]) <= repeated
    assert await look() == {ChunkState.ACCEPTED: 18}


@pytest.mark.parametrize(
    ("then", "how"),
    [
        ([Fault.THROTTLE_BARE], "turned away"),
        ([Fault.UNAUTHORIZED], "refused"),
        ([Fault.REJECTED_200], "refused"),
        ([Fault.ERROR_400_LOGIC_APPS], "refused"),
        ([Fault.QUOTA], "turned away"),
    ],
    ids=["429", "401", "status 0", "400", "quota"],
)
async def test_what_may_have_been_applied_stays_unknown_until_it_is_accepted(sandbox, send, look, then, how):
    """A later attempt that was turned away says nothing about an earlier one whose answer never came."""
    sandbox.faults = Faults.script([None, AFTER_APPLY, *then])

    report = await send(SOURCE[:8], on_unknown=OnUnknown.RESEND, concurrency=1)

    assert (report.accepted, report.unknown) == (4, 4)
    assert await look() == {ChunkState.ACCEPTED: 4, ChunkState.UNKNOWN: 4}


@pytest.mark.parametrize("then", [Fault.THROTTLE_BARE, Fault.UNAUTHORIZED, Fault.ERROR_400_LOGIC_APPS])
async def test_what_an_earlier_run_left_unknown_stays_so_until_it_is_accepted(sandbox, send, look, then):
    sandbox.faults = Faults.script([None, AFTER_APPLY])
    await send(SOURCE[:8], concurrency=1)
    sandbox.faults = Faults.always(then)

    report = await send(SOURCE[:8], on_unknown=OnUnknown.RESEND, on_rejected="split", concurrency=1)

    assert (report.accepted, report.unknown) == (4, 4)
    assert await look() == {ChunkState.ACCEPTED: 4, ChunkState.UNKNOWN: 4}
    # What is in doubt is not halved either: a part of a chunk that was applied would be sent to them again.
    assert {len(sandbox.applied_by(request)) for request in sandbox.requests} <= {0, 4}
    assert max(request.records or 0 for request in sandbox.requests) == 4
    assert len(sandbox.requests) <= 4


async def test_no_connection_after_an_unknown_leaves_it_unknown(sandbox, send, look):
    sandbox.faults = Faults.script([None, AFTER_APPLY])
    await send(SOURCE[:8], concurrency=1)
    await sandbox.refuse()

    report = await send(SOURCE[:8], on_unknown=OnUnknown.RESEND)

    assert (report.unknown, report.not_sent) == (4, 0)
    assert await look() == {ChunkState.ACCEPTED: 4, ChunkState.UNKNOWN: 4}


@pytest.mark.parametrize(
    ("changed", "row"),
    [
        ([*SOURCE[:6], "27999999999", *SOURCE[7:]], 7),
        ([*SOURCE[:4], "27999999999", *SOURCE[4:]], 5),
        ([*SOURCE[:9], *SOURCE[10:]], 10),
        (SOURCE[:-1], 18),
        (SOURCE[:16], 17),
        (SOURCE[:5], 6),
        ([*SOURCE, "27999999999"], 19),
        ([SOURCE[1], SOURCE[0], *SOURCE[2:]], 1),
        ([], 1),
        ([*SOURCE[:-1], SOURCE[0]], 18),
    ],
    ids=[
        "changed",
        "inserted",
        "deleted",
        "cut by one",
        "cut at a chunk",
        "cut short",
        "appended",
        "swapped",
        "empty",
        "the last is one that was sent",
    ],
)
async def test_a_source_that_changed_is_named_by_its_first_record_that_differs(sandbox, send, changed, row):
    await send()
    before = len(sandbox.requests)

    with pytest.raises(SourceChangedError) as caught:
        await send(changed)

    report = caught.value.report
    assert (caught.value.row, len(sandbox.requests), report.stopped) == (row, before, StopReason.SOURCE)
    runs = [run for chunk in report.failures if chunk.outcome is Outcome.NOT_SENT for run in chunk.runs]
    not_sent = {changed[row - 1] for first, length in runs for row in range(first, first + length)}
    assert not_sent <= {"27999999999"}
    assert report.read == report.accepted + report.unknown + report.not_sent


async def test_nothing_is_sent_behind_the_record_that_differs(sandbox, send):
    sandbox.faults = Faults.script([None, Fault.UNAUTHORIZED])
    await send(concurrency=1)
    changed = [*SOURCE[:5], "27999999999", *SOURCE[6:]]

    with pytest.raises(SourceChangedError) as caught:
        await send(changed)

    assert (caught.value.row, sandbox.applied("1").total()) == (6, 4)


async def test_rows_are_those_of_the_source_where_some_records_are_skipped(sandbox, send):
    await send([SOURCE[0], "", *SOURCE[1:]], on_invalid="skip")

    with pytest.raises(SourceChangedError) as caught:
        await send([SOURCE[0], "", *SOURCE[1:6], "27999999999", *SOURCE[7:]], on_invalid="skip")

    assert caught.value.row == 8


def breaking_off(numbers):
    yield from numbers
    raise OSError("the file is gone")


@pytest.mark.parametrize("rest", [SOURCE[16:], SOURCE[16:17], [""]], ids=["two", "one", "a bad one"])
async def test_records_appended_to_a_source_that_was_read_to_its_end_are_a_change(sandbox, send, rest):
    """Also behind a full last chunk, which itself is the same."""
    await send(SOURCE[:16])
    before = len(sandbox.requests)

    with pytest.raises(SourceChangedError) as caught:
        await send([*SOURCE[:16], *rest], on_invalid="skip")

    assert (caught.value.row, len(sandbox.requests)) == (17, before)


async def test_bad_records_missing_at_the_end_are_a_change(send):
    await send([*SOURCE[:16], "", ""], on_invalid="skip")

    with pytest.raises(SourceChangedError) as caught:
        await send([*SOURCE[:16], ""], on_invalid="skip")

    assert caught.value.row == 18


async def test_a_source_that_was_not_read_to_its_end_may_go_on(sandbox, send):
    """What the first run never came to is nothing it could know."""
    with pytest.raises(SourceError):
        await send(breaking_off(SOURCE[:16]))

    report = await send(SOURCE)

    assert (report.accepted, report.resumed) == (18, 16)
    assert set(sandbox.applied("1").values()) == {1}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"list_id": "2"}, "list id"),
        ({"chunk_size": 5}, "chunk size"),
        ({"max_chunk_bytes": 1000}, "max chunk bytes"),
        ({"dedupe": "Number"}, "dedupe"),
        ({"number_field": "Cell"}, "number field"),
        ({"common": {"Message": "Hello"}}, "common fields"),
    ],
    ids=["list", "chunk size", "chunk bytes", "dedupe", "number field", "common"],
)
async def test_another_run_on_the_same_journal_is_refused_before_anything_is_read_or_sent(
    sandbox, send, options, named
):
    await send()
    before = len(sandbox.requests)
    read: list[str] = []

    with pytest.raises(JournalError, match=f"different {named}$"):
        await send((read.append(number) or number for number in SOURCE), **options)

    assert (len(sandbox.requests), read) == (before, [])


async def test_two_runs_at_once_on_one_journal_are_refused(sandbox, mobiz, send, shelf):
    async with mobiz.bulk("1", SOURCE, journal=shelf.journal(), chunk_size=4) as run:
        with pytest.raises(JournalError, match="in use"):
            await send()
        report = await run.finish()

    assert (report.ok, set(sandbox.applied("1").values())) == (True, {1})


async def test_an_unknown_chunk_settled_by_hand_as_not_sent_goes_when_resumed(sandbox, send, shelf):
    sandbox.faults = Faults.script([None, Fault.RESET_UNAPPLIED])
    await send(concurrency=1)
    journal = shelf.journal()
    await journal.open(None)
    await journal.resolve(1, accepted=False)
    await journal.close()

    report = await send()

    assert (report.accepted, report.requests, set(sandbox.applied("1").values())) == (18, 1, {1})


async def test_an_unknown_chunk_settled_by_hand_as_accepted_stays_so(sandbox, send, shelf):
    sandbox.faults = Faults.script([None, AFTER_APPLY])
    await send(concurrency=1)
    journal = shelf.journal()
    await journal.open(None)
    await journal.resolve(1, accepted=True)
    await journal.close()

    report = await send()

    assert (report.accepted, report.requests, set(sandbox.applied("1").values())) == (18, 0, {1})


async def test_a_run_that_was_stopped_is_resumed_from_where_it_was(sandbox, mobiz, send, shelf):
    async with mobiz.bulk("1", SOURCE, journal=shelf.journal(), chunk_size=4, concurrency=1) as run:
        with contextlib.suppress(StopAsyncIteration):
            await anext(aiter(run))
        run.stop()
    assert run.report.stopped is StopReason.ASKED

    report = await send()

    assert (report.accepted, set(sandbox.applied("1").values())) == (18, {1})
    assert report.resumed == run.report.accepted < 18


async def test_a_source_that_cannot_be_closed_does_not_keep_the_journal(sandbox, mobiz, send, shelf):
    def source() -> Any:
        try:
            yield from (f"2782{number:07d}" for number in range(700))
        finally:
            raise OSError("the file is gone")

    sandbox.faults = Faults.script([None, Fault.UNAUTHORIZED])
    report = await send(source(), concurrency=1)
    assert (report.stopped, report.rejected) == (StopReason.CREDENTIALS, 4)

    journal = shelf.journal()
    assert await journal.open(None) is True
    await journal.close()


@pytest.fixture
def skip_a_chunk(mobiz, send, shelf):
    """Leave a journal that knows chunks 0 and 2, as when one overtook the other before a kill."""

    async def skip() -> None:
        with contextlib.suppress(SourceError):
            await send(breaking_off(()))
        await mobiz.append("1", SOURCE[:4])
        journal = shelf.journal()
        await journal.open(None)
        for index in (0, 2):
            first = 4 * index
            body = msgspec.json.encode([{"Number": number} for number in SOURCE[first : first + 4]])
            await journal.intend(Intent(index, 0, 4, ((first + 1, 4),), "earlier", 0.0, body))
            await journal.settle(Settlement(index, 0, "earlier", Event.ACCEPT, 0.0))
        await journal.close()

    return skip


async def test_a_chunk_that_was_passed_by_goes_when_resumed(sandbox, send, skip_a_chunk):
    await skip_a_chunk()

    report = await send()

    assert (report.accepted, report.resumed) == (18, 8)
    assert sorted(sandbox.applied("1")) == sorted({*SOURCE} - {*SOURCE[8:12]})
    assert set(sandbox.applied("1").values()) == {1}


@pytest.mark.parametrize(("changed", "row"), [([*SOURCE[:4], *SOURCE[5:]], 9), (SOURCE[:8], 9), (SOURCE[:6], 7)])
async def test_a_chunk_that_was_passed_by_is_held_until_the_source_is_known_to_be_the_same(
    sandbox, send, skip_a_chunk, changed, row
):
    """Where one record is gone from it, the first of the next chunk moves up into it, and has been sent already."""
    await skip_a_chunk()
    before = len(sandbox.requests)

    with pytest.raises(SourceChangedError) as caught:
        await send(changed)

    assert (caught.value.row, len(sandbox.requests)) == (row, before)
    report = caught.value.report
    assert report.read == report.accepted + report.unknown
