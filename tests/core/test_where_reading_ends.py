"""What ends the reading, ends it at one record: all that was full before it goes, and nothing from there on."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import attrs
import pytest
from fakes import Gate, Network, accepted, agen, client_on, counts, rows

from mobiz_async import InvalidRecordError, MobizClient, Outcome, Reason, SourceError, StopReason, chunking
from mobiz_async.encoding import encode_into
from mobiz_async.recipients.held import METADATA_KEY


class BrokenError(Exception):
    """A mistake in the code of a record."""


class Lazy(Mapping[str, Any]):
    """A row that is fetched when somebody looks at it."""

    def __getitem__(self, field: str) -> Any:
        raise BrokenError(field)

    def __iter__(self) -> Iterator[str]:
        return iter(["Number"])

    def __len__(self) -> int:
        return 1


@dataclasses.dataclass
class Late:
    Number: str

    def __getattr__(self, name: str) -> Any:
        raise BrokenError(name)


def late() -> Late:
    record = Late("27820000001")
    del record.Number
    return record


@attrs.define
class Twice:
    Number: str = "27820000001"
    cell: str = attrs.field(default="27820000002", metadata={METADATA_KEY: "Number"})


async def send_bulk(client: MobizClient, records: Any, size: int) -> Any:
    return await client.send_bulk("1", records, chunk_size=size)


async def trigger_many(client: MobizClient, records: Any, size: int) -> Any:
    return await client.trigger_many("key", records, batch_size=size)


both = pytest.mark.parametrize("operation", [send_bulk, trigger_many])
Operation = Callable[[MobizClient, Any, int], Any]


async def ended(operation: Operation, records: Any, size: int) -> tuple[Network, Any]:
    """What was sent, and what was raised."""
    network = Network()
    async with client_on(network) as client:
        with pytest.raises((InvalidRecordError, SourceError)) as raised:
            await operation(client, records, size)
    return network, raised.value


# A record that is bad


@both
@pytest.mark.parametrize("bad", [None, {"Number": "\ud83d"}], ids=["by its shape", "by its encoding"])
@pytest.mark.parametrize("source", [list, agen])
@pytest.mark.parametrize(
    ("good", "size", "sent"),
    [(0, 10, 0), (9, 10, 0), (10, 10, 1), (25, 10, 2), (3, 1, 3), (251, 250, 1), (700, 300, 2), (1_000, 10, 100)],
)
async def test_what_was_full_before_a_bad_record_goes(operation, bad, source, good, size, sent) -> None:
    network, error = await ended(operation, source([*rows(good), bad, *rows(20)]), size)

    assert (error.row, error.report.stopped) == (good + 1, StopReason.SOURCE)
    assert [record for body in network.bodies for record in body] == rows(good)[: sent * size]
    assert error.report.accepted == sent * size


@both
async def test_the_first_bad_record_is_told_of_and_no_other(operation) -> None:
    """The checks see the shape of a whole slice before any of it is encoded."""
    records = [*rows(3), {"Number": "1", "Message": "\ud83d"}, *rows(3), None]

    _, error = await ended(operation, records, 2)

    assert (error.row, error.reason, error.report.accepted) == (4, Reason.NOT_ENCODABLE, 2)


SHAPELESS, NOT_FINITE, NOT_TEXT = None, {"Number": "1", "Message": float("nan")}, {"Number": "1", "Message": "\ud83d"}


@both
@pytest.mark.parametrize("source", [list, agen])
@pytest.mark.parametrize("first", [SHAPELESS, NOT_FINITE, NOT_TEXT], ids=["shape", "value", "encoding"])
@pytest.mark.parametrize("second", [SHAPELESS, NOT_FINITE, NOT_TEXT], ids=["shape", "value", "encoding"])
async def test_whatever_is_wrong_with_the_records_behind_it_the_first_bad_one_ends_it(
    operation, source, first, second
) -> None:
    """The checks find some kinds before others: none may let the bad record before it pass."""
    network, error = await ended(operation, source([*rows(5), first, *rows(2), second, *rows(2)]), 2)

    assert (error.row, error.report.accepted, network.bodies) == (6, 4, [rows(4)[:2], rows(4)[2:]])


async def test_an_append_is_all_or_nothing_also_where_the_bad_record_is_one_too_many() -> None:
    network = Network()
    async with client_on(network) as client:
        with pytest.raises(InvalidRecordError) as raised:
            await client.append("1", [*rows(10_000), None])

    assert (raised.value.row, network.count) == (10_001, 0)


async def test_a_run_that_is_stopped_on_its_way_to_a_bad_record_was_stopped() -> None:
    gate = Gate()
    network = Network(lambda request, n: gate.passed(accepted(request)))
    async with client_on(network) as client, client.bulk("1", [*rows(10), None], chunk_size=5, concurrency=1) as run:
        await gate.until_waiting(1)
        run.stop()
        gate.open.set()
        report = await run.finish()

    assert (counts(report), report.stopped) == ({"accepted": 5, "not_sent": 6}, StopReason.ASKED)


# A source that raises


@both
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_what_was_full_before_a_source_failed_goes(operation, kind) -> None:
    def source() -> Iterator[Any]:
        yield from rows(25)
        raise BrokenError

    network, error = await ended(operation, source() if kind == "sync" else agen(source()), 10)

    assert (error.row, error.report.accepted, network.count) == (26, 20, 2)


# A record that raises


@both
@pytest.mark.parametrize("broken", [Lazy, late])
@pytest.mark.parametrize("source", [list, agen])
async def test_a_record_whose_own_code_raises_is_a_source_that_failed(operation, broken, source) -> None:
    """Its exception is the cause, and the report tells what went before it, as if the source had raised itself."""
    network, error = await ended(operation, source([*rows(25), broken(), *rows(300)]), 10)

    assert (type(error), error.row, error.kind, error.report.accepted) == (SourceError, 26, "BrokenError", 20)
    assert isinstance(error.__cause__, BrokenError)
    assert [record for body in network.bodies for record in body] == rows(20)


@pytest.mark.parametrize("before", [1, 600])
async def test_instances_that_are_read_in_one_go_are_no_exception(before: int) -> None:
    """Their class is known by then, and its attributes are read at C speed."""
    good = [Late(row["Number"]) for row in rows(before)]

    _, error = await ended(send_bulk, [*good, late(), *good], 1)

    assert (type(error), error.row, error.report.accepted) == (SourceError, before + 1, before)
    assert error.report.read == before


@both
async def test_a_bad_record_before_one_that_raises_is_what_is_told_of(operation) -> None:
    _, error = await ended(operation, [*rows(3), None, Lazy()], 2)

    assert (type(error), error.row, error.report.accepted) == (InvalidRecordError, 4, 2)


# A class that is bad


@both
async def test_a_class_with_two_attributes_for_one_field_is_bad_wherever_it_comes(operation) -> None:
    network, error = await ended(operation, [*rows(25), Twice()], 10)

    assert (type(error), error.row, error.field) == (InvalidRecordError, 26, "Number")
    assert (error.reason, error.report.accepted, network.count) == (Reason.SAME_NAME, 20, 2)


async def test_records_of_such_a_class_can_be_skipped() -> None:
    async with client_on(Network()) as client:
        report = await client.send_bulk("1", [*rows(5), Twice(), *rows(5)], on_invalid="skip")

    assert (report.ok, report.skipped_by_reason) == (True, {Reason.SAME_NAME.value: 1})
    assert report.accepted == 10


# What a source of its own speed is asked for


@both
async def test_what_is_full_goes_before_a_slow_source_is_asked_for_more(operation) -> None:
    sent = asyncio.Event()

    async def queue() -> AsyncIterator[Any]:
        for row in rows(10):
            yield row
        await asyncio.wait_for(sent.wait(), 10)
        yield rows(1)[0]

    def answer(request: Any, n: int) -> Any:
        sent.set()
        return accepted(request)

    async with client_on(Network(answer)) as client:
        report = await operation(client, queue(), 10)

    assert report.accepted == 11


# Whatever else ends a run of triggers


async def test_a_transport_that_raises_breaks_no_other_batch_off_and_the_report_is_there() -> None:
    gate = Gate()

    def answer(request: Any, n: int) -> Any:
        if n == 3:
            gate.open.set()
            raise BrokenError
        return accepted(request) if n == 1 else gate.passed(accepted(request))

    async with client_on(Network(answer)) as client:
        with pytest.raises(BrokenError) as raised:
            await client.trigger_many("key", rows(100), batch_size=10, concurrency=2)

    report: Any = vars(raised.value)["report"]
    outcomes = [batch.outcome for batch in report.batches]
    assert outcomes[:3] == [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.UNKNOWN]
    assert ({*outcomes[3:]} <= {Outcome.NOT_SENT}, report.stopped) == (True, StopReason.ERROR)


async def test_a_mistake_of_ours_is_raised_plain_with_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(records: Any, buffer: bytearray) -> None:
        if len(records) < 10:
            raise BrokenError
        encode_into(records, buffer)

    monkeypatch.setattr(chunking, "encode_into", mistaken)
    async with client_on(Network()) as client:
        with pytest.raises(BrokenError) as raised:
            await client.trigger_many("key", rows(25), batch_size=10)

    report: Any = vars(raised.value)["report"]
    assert (report.read, report.accepted + report.not_sent, report.stopped) == (20, 20, StopReason.ERROR)
