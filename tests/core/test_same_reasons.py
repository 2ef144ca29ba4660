"""What becomes of a record, and what is said of it, does not depend on the records that shared its slice."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import attrs
import msgspec
import pytest
from fakes import Network, client_on
from hypothesis import given
from hypothesis import strategies as st

from mobiz_async import DataList, Reason
from mobiz_async.chunking import Chunker
from mobiz_async.recipients.intake import Intake
from mobiz_async.recipients.preview import preview
from mobiz_async.recipients.stages import Problem
from mobiz_async.recipients.writable import writable_stage

NUMBER = "27821111111"
HALF = "a\ud83d"
ODD = {"Number": "27839999999", "Message": Decimal("1.5")}
"""A record that is good, and has its whole slice looked at one by one."""


class Text(str):
    __slots__ = ()


class Word(enum.StrEnum):
    NO_NUMBER = "no number"
    FIVE = "5"


class Count(enum.IntEnum):
    FIVE = 5


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"Number": f"2783{place:07}", "Message": "x", **more} for place in range(count)]


def read(records: list[Any], slices: list[int], intake: Intake, max_bytes: int = 4_000) -> tuple[list[Any], list[Any]]:
    """Read ``records`` in slices of these sizes, over and over; return the problems and the bodies."""
    problems: list[Problem] = []

    async def bodies() -> list[tuple[Any, bytes]]:
        chunker = Chunker(
            records, intake.stage(max_bytes), chunk_size=7, max_bytes=max_bytes, on_problems=problems.extend
        )
        parts = cut(records, slices)

        async def taken(_room: int) -> list[Any]:
            part = next(parts, [])
            chunker._slices.read += len(part)
            return part

        chunker._slices.next = taken  # type: ignore[method-assign]  # what the clock decides otherwise
        found = []
        while (chunk := await chunker.next()) is not None:
            found.append((chunk.rows, bytes(chunk.body)))
        return found

    made = asyncio.run(bodies())
    return sorted((one.row, one.field, one.reason) for one in problems), made


def cut(records: list[Any], slices: list[int]) -> Iterator[list[Any]]:
    start, turn = 0, 0
    while start < len(records):
        size = slices[turn % len(slices)]
        yield records[start : start + size]
        start += size
        turn += 1


@pytest.mark.parametrize("neighbours", [[], [ODD]], ids=["plain", "odd"])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"Number": NUMBER, "Message": HALF}, Reason.NOT_ENCODABLE),
        ({"Number": NUMBER, "Message": 10**5000}, Reason.NOT_ENCODABLE),
        ({"Number": NUMBER, "Message": "x" * 300}, Reason.TOO_LARGE),
    ],
    ids=["half a pair", "huge", "large"],
)
async def test_a_record_that_never_goes_does_not_use_up_its_number(bad, reason, neighbours) -> None:
    network = Network()
    good = {"Number": NUMBER, "Message": "hi"}
    async with client_on(network) as client:
        report = await client.send_bulk(
            "1",
            [*rows(250), bad, good, *neighbours, good],
            dedupe="Number",
            on_invalid="skip",
            max_chunk_bytes=200,
        )

    assert {reason.value: 1, Reason.DUPLICATE.value: 1} == report.skipped_by_reason
    assert [sent for body in network.bodies for sent in body if sent["Number"] == NUMBER] == [good]


def test_a_preview_holds_no_number_used_up_by_a_record_that_never_goes() -> None:
    bad = [{"Number": NUMBER, "Message": HALF}, {"Number": NUMBER, "Message": "x" * 300}]

    looked = preview([*bad, {"Number": NUMBER}], dedupe="Number", max_chunk_bytes=200)

    assert (looked.good, looked.held_back) == (1, {Reason.NOT_ENCODABLE.value: 1, Reason.TOO_LARGE.value: 1})


def test_a_slice_of_more_bytes_than_a_body_may_have_is_good_where_each_record_is() -> None:
    records = rows(10)

    staged = writable_stage(100)(records, range(10))

    assert (staged.records, staged.problems) == (records, [])


def test_what_cannot_be_written_is_told_before_what_is_wrong_with_its_format() -> None:
    definition = {"Number": "msisdn", "Message": "text"}
    bad = [{"Number": "082", "Message": HALF}, {"Number": "082", "Message": "x"}, {"Number": NUMBER, "X": HALF}]
    expected = [
        (1, "Message", Reason.NOT_ENCODABLE),
        (2, "Number", Reason.NOT_MSISDN),
        (3, "X", Reason.NOT_ENCODABLE),
    ]

    for neighbours in ([], [{**ODD, "Message": b""}]):
        for intake in (Intake(definition=definition), Intake(definition=definition, suppress=["1"])):
            assert expected == [one for one in read([*bad, *neighbours], [9], intake)[0] if one[0] < 4]


def test_a_suppressed_record_that_cannot_be_written_is_told_as_such() -> None:
    for neighbours in ([], [ODD]):
        problems, _ = read([{"Number": NUMBER, "Message": HALF}, *neighbours], [9], Intake(suppress=[NUMBER]))
        assert problems == [(1, "Message", Reason.NOT_ENCODABLE)]


def test_half_a_pair_behind_a_number_is_not_passed_over() -> None:
    for neighbours in ([], [ODD]):
        problems, bodies = read([{"Number": "0821234567\ud83d"}, *neighbours], [9], Intake(region="ZA"))
        assert (problems, len(bodies)) == ([(1, "Number", Reason.NOT_ENCODABLE)], len(neighbours))


@pytest.mark.parametrize("value", ["no number", Text("no number"), Word.NO_NUMBER])
@pytest.mark.parametrize("known", [["1"], ["1", None], ["1", 5], ["1", None, 5]])
async def test_no_kind_of_text_escapes_a_lists_definition(value, known) -> None:
    """Whatever the fields of the records before it have held."""
    contacts = DataList("1", definition={"Number": "msisdn", "Message": "text", "Points": "numeric"})
    before = [row for held in known for row in rows(130, Points=held)]
    record = {"Number": NUMBER, "Message": "x", "Points": value}
    network = Network()
    async with client_on(network) as client:
        report = await client.send_bulk(contacts, [*before, record, *before], on_invalid="skip")

    assert {Reason.NOT_NUMERIC.value: 1} == report.skipped_by_reason
    assert report.accepted == 2 * len(before)


@pytest.mark.parametrize("value", [Text("q"), Word.FIVE, Count.FIVE])
async def test_a_kind_of_text_or_number_beside_a_bad_record_ends_no_run(value) -> None:
    numeric = not isinstance(value, Text)
    contacts = DataList(
        "1", definition={"Number": "msisdn", "Message": "text", "Points": "numeric" if numeric else "text"}
    )
    good = {"Number": NUMBER, "Message": "x", "Points": value}
    bad = [{**good, "Number": "082"}, {**good, "Message": HALF}]
    before = [*rows(125, Points="1"), *rows(125, Points=5 if numeric else "1")]
    network = Network()
    async with client_on(network) as client:
        report = await client.send_bulk(contacts, [*before, good, *bad], on_invalid="skip")

    assert {Reason.NOT_MSISDN.value: 1, Reason.NOT_ENCODABLE.value: 1} == report.skipped_by_reason
    assert network.bodies[-1][-1] == good


@attrs.define
class Person:
    Number: Any
    Message: Any = None


class Contact(msgspec.Struct):
    Message: Any = msgspec.UNSET
    Number: Any = NUMBER


numbers = st.sampled_from(
    [
        *("27820000001", "27820000002", "27820000003", "0820000001", "082 000 0002", "27820000001.0", "tel:0820000001"),
        *("082", "0821234.000", "", None, True, 0, HALF, "0820000001\ud83d", ["0820000001"], {"a": 1}, b"0820000001"),
        *(27820000001, 27820000002.0, Decimal(27820000003), Decimal("sNaN"), 10**5000, float("nan")),
        *(Text("27820000001"), Word.FIVE, Count.FIVE),
    ]
)
values = st.sampled_from(
    [
        *("hi", "", None, "12", "a@b", 5, True, 2.5, Decimal("1.50"), 2**70, 10**5000, float("nan"), msgspec.UNSET),
        *(Text("q"), Word.FIVE, Word.NO_NUMBER, Count.FIVE, HALF, b"x", {"a": HALF}, [float("inf")], "x" * 200),
        object(),
    ]
)
FIELDS = ["Message", "Email", "Points", Text("Kind"), 'a "quoted" one', "half \ud83d"]
records = st.permutations(["Number", *FIELDS]).flatmap(
    lambda fields: st.fixed_dictionaries(
        {"Number": numbers}, optional={field: values for field in fields if field != "Number"}
    ).map(lambda record: {field: record[field] for field in fields if field in record})
)
plainer = st.fixed_dictionaries({"Number": numbers}, optional={"Message": values, "Points": values})
held = st.one_of(
    plainer, plainer, records, st.builds(Person, numbers, values), st.builds(Contact, values, numbers), numbers
)
WIDE = {"Number": "msisdn", "Message": "text", "Points": "numeric", "Email": "email"}
several = [(None, "Number"), (None, "Message"), (WIDE, "Number"), (WIDE, "Message"), ({"Number": "msisdn"}, "Number")]
definition_and_dedupe = st.sampled_from([*several, *((definition, None) for definition, _ in several)])
intakes = st.builds(
    lambda pair, **checks: Intake(definition=pair[0], dedupe=pair[1], **checks),
    definition_and_dedupe,
    region=st.sampled_from([None, "ZA"]),
    suppress=st.sampled_from([None, ["082 000 0003"]]),
    common=st.sampled_from([None, {"Points": 1}]),
)


@given(st.lists(held, max_size=25), st.lists(st.integers(1, 9), min_size=1, max_size=5), intakes)
def test_chunks_and_reasons_are_the_same_however_a_source_is_cut(many, slices, intake) -> None:
    alone = read(many, [1], intake, 150)

    assert alone == read(many, slices, intake, 150)
    assert alone == read(many, [500], intake, 150)
