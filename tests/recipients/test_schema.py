"""Fitted records: what is written of them must not depend on where a slice began, nor differ from what was meant."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import json
import tracemalloc
from collections import OrderedDict
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobiz_async.encoding import ENCODING_ERRORS, encode
from mobiz_async.errors import Reason
from mobiz_async.recipients.definition import definition_stage
from mobiz_async.recipients.held import METADATA_KEY
from mobiz_async.recipients.schema import Fitted, as_dicts
from mobiz_async.recipients.shape import shape_stage
from mobiz_async.recipients.stages import BadRecord, Staged, pipeline

NUMBER = "27821234567"
DEFINITION = {"Number": "msisdn", "Name": "text", "Points": "numeric", "Email": "email"}


class Size(enum.StrEnum):
    BIG = "big"


class Text(str):
    __slots__ = ()


class Grade(enum.IntEnum):
    FIRST = 1


class Count(int):
    pass


class Share(float):
    pass


@dataclasses.dataclass
class Nested:
    content: Any


values = st.one_of(
    st.text(max_size=3),
    st.integers(-3, 2**64),
    st.sampled_from(["half a \ud800", Count(5), Share(0.5), Share("nan"), Decimal("NaN"), {"a", "b"}, Nested(b"x")]),
    st.floats(),
    st.sampled_from(
        [None, True, Decimal("1.10"), date(2026, 1, 2), Size.BIG, Text("x"), Grade.FIRST, b"x", [1], {"a": 1}]
    ),
)
FIELDS = ["Number", "A", "B", 'a "quoted" one', "C"]
records = st.permutations(FIELDS).flatmap(
    lambda fields: st.fixed_dictionaries({}, optional=dict.fromkeys(fields, values)).map(
        lambda record: {field: record[field] for field in fields if field in record}
    )
)


@attrs.define
class Instance:
    name: Any = attrs.field(metadata={METADATA_KEY: "A"})
    kinds: Any
    Number: Any = NUMBER


@dataclasses.dataclass
class Data:
    B: Any
    Number: Any = NUMBER


@attrs.define
class Numberless:
    A: Any


@attrs.define
class Unset:
    Number: Any
    B: Any = attrs.field(init=False)
    A: Any = attrs.field(init=False, metadata={METADATA_KEY: "B, too"})


@attrs.define(eq=False)
class Window(Mapping):
    """A mapping first of all, whatever attributes it has besides."""

    Number: Any
    A: Any

    def __getitem__(self, field):
        return {"Number": NUMBER, "C": self.A}[field]

    def __iter__(self):
        return iter(("Number", "C"))

    def __len__(self):
        return 2


held = st.one_of(
    records,
    st.builds(Instance, values, values),
    st.builds(Data, values),
    st.builds(Numberless, values),
    st.builds(Unset, st.just(NUMBER)),
    st.builds(Window, st.just(NUMBER), values),
    st.builds(BadRecord, st.just("Number"), st.just(Reason.RAGGED)),
    st.just(NUMBER),
    st.none(),
)
sources = st.lists(held, max_size=20) | st.lists(records, max_size=20) | st.lists(st.builds(Data, values), max_size=20)


def slices_of(many: list[Any], lengths: list[int]) -> list[list[Any]]:
    rest = iter(many)
    cut = [list(itertools.islice(rest, length)) for length in lengths]
    return [*cut, list(rest)]


def written(many: list[Any], lengths: list[int], **options: Any) -> list[tuple[int, bytes]]:
    """Return (row, bytes) of each record that can be written, read in slices of ``lengths``."""
    stage = shape_stage("Number", fitted=True, **options)
    found = []
    row = 0
    for one in slices_of(many, lengths):
        staged = stage(one, range(row, row + len(one)))
        row += len(one)
        for record, at in zip(staged.records, staged.rows, strict=True):
            try:
                found.append((at, encode(record)))
            except ENCODING_ERRORS:  # the chunker refuses it
                continue
    return found


lengths = st.lists(st.integers(0, 5), max_size=8)


@given(sources, lengths, lengths)
def test_the_bytes_of_a_record_do_not_depend_on_where_slices_begin(many, some, others) -> None:
    assert written(many, some) == written(many, others)


@given(sources, lengths)
def test_fitted_records_mean_what_the_unfitted_mean(many, some) -> None:
    plainly = shape_stage("Number")(many, range(len(many)))
    meant = {}
    for record, row in zip(plainly.records, plainly.rows, strict=True):
        try:
            meant[row] = json.loads(encode(record))
        except ENCODING_ERRORS:
            continue

    assert {row: json.loads(text) for row, text in written(many, some)} == meant


def test_fields_are_written_in_the_order_in_which_the_source_showed_them() -> None:
    many = [{"Number": NUMBER, "A": "1"}, {"A": "2", "Number": NUMBER}, {"B": "3", "A": "4", "Number": NUMBER}]

    assert [list(json.loads(text)) for _, text in written(many, [1, 1, 1])] == [
        ["Number", "A"],
        ["Number", "A"],
        ["Number", "A", "B"],
    ]


def test_a_good_slice_is_fitted() -> None:
    stage = shape_stage("Number", fitted=True)

    staged = stage([{"Number": NUMBER, "A": 1}, {"Number": NUMBER}], range(1, 3))

    assert all(isinstance(record, Fitted) for record in staged.records)
    assert as_dicts(staged.records) == [{"Number": NUMBER, "A": 1}, {"Number": NUMBER}]


@pytest.mark.parametrize("kind", [MappingProxyType, OrderedDict])
def test_another_mapping_among_dicts_loses_none_of_its_fields(kind) -> None:
    known = [{"Number": NUMBER}] * 3
    odd = kind({"Number": NUMBER, "New": "field"})

    assert json.loads(written([*known, {"Number": NUMBER}, odd], [3])[-1][1]) == {"Number": NUMBER, "New": "field"}


@pytest.mark.parametrize("record", [Instance("Ann", "two"), Data("b")])
def test_instances_are_fitted_without_a_detour(record) -> None:
    stage = shape_stage("Number", fitted=True)
    first, second = (stage([record] * 3, range(3)) for _ in range(2))

    assert type(first.records[0]) is not type(second.records[0])
    assert [encode(staged.records) for staged in (first, second)] == [encode(as_dicts(first.records))] * 2
    assert as_dicts(second.records) == shape_stage("Number")([record] * 3, range(3)).records


def test_instances_without_a_number_are_not_let_through_by_the_schema_of_others() -> None:
    stage = shape_stage("Number", fitted=True)
    stage([Instance("Ann", "two")], range(1))

    staged = stage([Numberless("Ann")] * 2, range(1, 3))

    assert [(problem.field, problem.reason) for problem in staged.problems] == [("Number", Reason.MISSING)] * 2


def test_what_a_source_could_not_make_is_never_a_record() -> None:
    stage = shape_stage("Number", fitted=True)
    stage([{"Number": NUMBER, "field": "x", "reason": "y"}], range(1))

    staged = stage([BadRecord("Number", Reason.RAGGED)], range(1, 2))

    assert (staged.records, [problem.reason for problem in staged.problems]) == ([], [Reason.RAGGED])


@pytest.mark.parametrize("name", ["__kinds__", "__attributes__", "__gaps__", "__class__x"])
def test_instances_with_unusual_attributes_are_records_all_the_same(name) -> None:
    kind = dataclasses.make_dataclass("Odd", [("Number", str), (name, str)])
    stage = shape_stage("Number", fitted=True)

    for _ in range(3):
        staged = stage([kind(NUMBER, "x")], range(1))
        assert json.loads(encode(staged.records)) == [{"Number": NUMBER, name: "x"}]


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("rename", [None, {"cell": "Number"}])
def test_two_attributes_for_one_field_are_two_fields_of_one_name(fitted, rename) -> None:
    kind = attrs.make_class("Twice", {"Number": attrs.field(), "cell": attrs.field(metadata={METADATA_KEY: "Number"})})
    stage = shape_stage("Number", fitted=fitted, rename=rename)
    good = {"Number": NUMBER}
    stage([good], range(1, 2))

    staged = stage([good, kind("1", "2"), good], range(2, 5))

    assert [(one.row, one.field, one.reason) for one in staged.problems] == [(3, "Number", Reason.SAME_NAME)]
    assert (len(staged.records), [*staged.rows]) == (2, [2, 4])


def test_a_schema_does_not_grow_with_the_fields_of_a_source() -> None:
    """Two hundred fields have places; whatever comes after keeps the record's order."""
    stage = shape_stage("Number", fitted=True)
    tracemalloc.start()
    for start in range(0, 40_000, 500):
        many = [{"Number": NUMBER, f"field {start + n}": "x"} for n in range(500)]
        stage(many, range(500))
        if start == 5_000:
            before, _ = tracemalloc.get_traced_memory()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert after - before < 200_000


def test_a_field_that_no_schema_can_have_is_no_reason_to_fail() -> None:
    many = [{"Number": NUMBER, 'a "quoted" one': "x"}] * 3

    assert [json.loads(text) for _, text in written(many, [1])] == many


def test_a_source_that_always_has_new_fields_is_written_in_order_too() -> None:
    many = [{f"field {n}": "x", "Number": NUMBER, "A": "y"} for n in range(300)]

    found = [list(json.loads(text)) for _, text in written(many, [1] * 300)]

    assert found == [["field 0", "Number", "A"], *[["Number", "A", f"field {n}"] for n in range(1, 300)]]


class TestDefinition:
    """The list's definition over fitted records: as over dicts."""

    @staticmethod
    def both(slices: list[list[dict[str, Any]]], definition: dict[str, str]) -> tuple[list[Any], list[Any]]:
        found = []
        for fitted in (True, False):
            stage = pipeline([shape_stage("Number", fitted=fitted), definition_stage(definition)])
            staged = [stage(list(one), range(len(one))) for one in slices]
            found.append([(as_dicts(each.records), list(each.rows), each.problems) for each in staged])
        return found[0], found[1]

    cells = st.sampled_from(
        [None, "", "x", NUMBER, "12", "-1.5", "a@b", "@b", f"{65 * 'a'}@b", "a@", 5, True, 2.5, "\n"]
    )
    rows = st.fixed_dictionaries(
        {"Number": st.sampled_from([NUMBER, "2782123456", "0821234567", 27821234567])},
        optional=dict.fromkeys(("Name", "Points", "Email", "Other"), cells),
    )

    @given(st.lists(st.lists(rows, max_size=5), max_size=5))
    def test_fitted_records_pass_where_dicts_do(self, slices) -> None:
        fitted, dicts = self.both(slices, DEFINITION)

        assert fitted == dicts

    @given(st.lists(st.lists(rows, max_size=5), max_size=5))
    def test_whichever_field_is_the_msisdn(self, slices) -> None:
        fitted, dicts = self.both(slices, {"Name": "msisdn", "Number": "numeric", "Email": "msisdn", "Points": "text"})

        assert fitted == dicts

    def test_good_slices_stay_fitted(self) -> None:
        stage = pipeline([shape_stage("Number", fitted=True), definition_stage(DEFINITION)])
        good = {"Number": NUMBER, "Name": "Ann", "Points": "7", "Email": "ann@mobiz"}

        staged = stage([good, {**good, "Points": 8, "Email": None}, {"Number": NUMBER}], range(3))

        assert all(isinstance(record, Fitted) for record in staged.records)
        assert staged.problems == []

    def test_a_bad_record_is_named_and_the_others_pass(self) -> None:
        stage = pipeline([shape_stage("Number", fitted=True), definition_stage(DEFINITION)])

        staged: Staged = stage([{"Number": NUMBER, "Email": "a@b"}, {"Number": NUMBER, "Email": "nobody"}], range(1, 3))

        assert as_dicts(staged.records) == [{"Number": NUMBER, "Email": "a@b"}]
        assert [(problem.row, problem.field, problem.reason) for problem in staged.problems] == [
            (2, "Email", Reason.NOT_EMAIL)
        ]
