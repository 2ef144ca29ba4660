"""What may be a record, what it becomes, and what is refused because JSON would garble it."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import types
import uuid
from typing import Any, NamedTuple

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobiz_async.encoding import encode
from mobiz_async.errors import Reason
from mobiz_async.recipients.schema import as_dicts
from mobiz_async.recipients.shape import shape_stage
from mobiz_async.recipients.stages import BadRecord, Problem, Staged, only_good, pipeline, runs

NUMBER = "27821234567"
GOOD = {"Number": NUMBER, "Message": "hi"}


@attrs.frozen
class Person:
    phone: str = attrs.field(metadata={"mobiz": "Number"})
    Message: str = "hi"


@dataclasses.dataclass
class Customer:
    phone: str = dataclasses.field(metadata={"mobiz": "Number"})
    Message: str = "hi"


class Contact(msgspec.Struct):
    phone: str = msgspec.field(name="Number")
    Message: str = "hi"


class Pair(NamedTuple):
    Number: str
    Message: str = "hi"


class Model:
    """Looks as pydantic's models do."""

    model_fields: Any = types.MappingProxyType({})

    def model_dump(self, *, mode: str, by_alias: bool) -> dict[str, Any]:
        assert (mode, by_alias) == ("json", True)
        return dict(GOOD)


class Broken:
    model_fields: Any = types.MappingProxyType({})

    def model_dump(self, *, mode: str, by_alias: bool) -> dict[str, Any]:
        raise ValueError("invalid utf-8 in 0821234567")


class Optional(msgspec.Struct):
    Message: str | msgspec.UnsetType = msgspec.UNSET
    Number: str = NUMBER


@attrs.frozen
class Single:
    Number: str


@attrs.frozen
class Nothing:
    pass


class Colour(enum.Enum):
    RED = "red"


def stage(record: Any, field: str | None = "Number", **options: Any) -> Staged:
    return shape_stage(field, **options)([record], range(7, 8))


def problem(record: Any, field: str | None = "Number", **options: Any) -> tuple[int, str | None, str] | None:
    found = stage(record, field, **options).problems
    return (found[0].row, found[0].field, found[0].reason) if found else None


@pytest.mark.parametrize(
    "record",
    [
        GOOD,
        collections.OrderedDict(GOOD),
        types.MappingProxyType(GOOD),
        collections.ChainMap({"Number": NUMBER}, {"Message": "hi"}),
        Person(NUMBER),
        Customer(NUMBER),
        Contact(NUMBER),
        Pair(NUMBER),
        Model(),
    ],
    ids=lambda record: type(record).__name__,
)
def test_whatever_has_named_fields_is_a_record(record: Any) -> None:
    staged = stage(record)

    assert ([dict(one) for one in staged.records], staged.problems) == ([GOOD], [])


def test_a_bare_number_is_a_record_with_the_common_fields() -> None:
    assert stage(NUMBER, common={"Message": "hi"}).records == [{"Message": "hi", "Number": NUMBER}]


def test_an_instance_with_one_field_is_a_record() -> None:
    assert stage(Single(NUMBER)).records == [{"Number": NUMBER}]


def test_an_instance_without_fields_lacks_the_number() -> None:
    assert problem(Nothing()) == (7, "Number", Reason.MISSING)


def test_a_good_slice_is_let_through_untouched() -> None:
    records = [{"Number": NUMBER}] * 3
    for _ in range(2):
        assert shape_stage("Number")(records, range(1, 4)).records is records


def test_a_records_own_fields_come_before_the_common_ones() -> None:
    assert stage(GOOD, common={"Message": "all", "From": "us"}).records == [{**GOOD, "From": "us"}]


def test_fields_are_renamed_before_they_are_checked() -> None:
    assert stage({"cell": NUMBER}, rename={"cell": "Number"}).records == [{"Number": NUMBER}]


@pytest.mark.parametrize("fitted", [True, False])
def test_a_record_that_would_have_two_fields_of_one_name_is_refused(fitted: bool) -> None:
    records = [{"cell": "1"}, {"cell": "2", "Number": "3"}, {"Number": "4"}, Contact("5", "x")]
    staged = shape_stage("Number", rename={"cell": "Number"}, fitted=fitted)(records, range(7, 11))

    assert as_dicts(staged.records) == [{"Number": "1"}, {"Number": "4"}, {"Number": "5", "Message": "x"}]
    assert [(8, "Number", Reason.SAME_NAME, records[1])] == [
        (one.row, one.field, one.reason, one.record) for one in staged.problems
    ]


def test_an_empty_slice_is_good() -> None:
    assert shape_stage("Number")([], range(0)) == Staged([], range(0), [])


class Point(msgspec.Struct):
    place: object


@attrs.define
class Nested:
    content: object


BAD = [
    ("a number", 5, None, Reason.NOT_A_RECORD),
    ("nothing", None, None, Reason.NOT_A_RECORD),
    ("a list", [1], None, Reason.NOT_A_RECORD),
    ("a tuple", (1, 2), None, Reason.NOT_A_RECORD),
    ("bytes", b"27821234567", None, Reason.NOT_A_RECORD),
    ("a class", Person, None, Reason.NOT_A_RECORD),
    ("no number", {"Message": "hi"}, "Number", Reason.MISSING),
    ("an empty number", {"Number": ""}, "Number", Reason.EMPTY),
    ("a null number", {"Number": None}, "Number", Reason.EMPTY),
    ("a boolean number", {"Number": True}, "Number", Reason.EMPTY),
    ("an empty bare number", "", "Number", Reason.EMPTY),
    ("a key that is no text", {"Number": NUMBER, 1: "x"}, None, Reason.KEY_NOT_TEXT),
    ("a null key", {"Number": NUMBER, None: "x"}, None, Reason.KEY_NOT_TEXT),
    ("NaN", {"Number": NUMBER, "Amount": float("nan")}, "Amount", Reason.NOT_FINITE),
    ("infinity", {"Number": NUMBER, "Amount": float("-inf")}, "Amount", Reason.NOT_FINITE),
    ("bytes in a field", {"Number": NUMBER, "Message": b"hi"}, "Message", Reason.BINARY),
    ("a bytearray", {"Number": NUMBER, "Message": bytearray(b"hi")}, "Message", Reason.BINARY),
    ("a memoryview", {"Number": NUMBER, "Message": memoryview(b"hi")}, "Message", Reason.BINARY),
    ("nested NaN", {"Number": NUMBER, "Tags": [{"x": float("nan")}]}, "Tags", Reason.NOT_FINITE),
    ("a nested key", {"Number": NUMBER, "Tags": {1: "x"}}, "Tags", Reason.KEY_NOT_TEXT),
    ("nested bytes", {"Number": NUMBER, "Tags": ("x", [b"y"])}, "Tags", Reason.BINARY),
    ("a set, which has no order", {"Number": NUMBER, "Tags": {"x", "y"}}, "Tags", Reason.NOT_ENCODABLE),
    ("half a surrogate pair in a name", {"Number": NUMBER, "\ud800": "x"}, None, Reason.NOT_ENCODABLE),
    ("bytes in a nested struct", {"Number": NUMBER, "Tags": Point(b"y")}, "Tags", Reason.BINARY),
    ("a nested attrs instance", {"Number": NUMBER, "Tags": Nested(float("nan"))}, "Tags", Reason.NOT_FINITE),
    ("bytes in a nested instance", {"Number": NUMBER, "Tags": Single(b"y")}, "Tags", Reason.BINARY),
    ("an object", {"Number": NUMBER, "Tags": object()}, "Tags", Reason.NOT_ENCODABLE),
    ("half a surrogate pair", {"Number": NUMBER, "Tags": ["\ud83d"]}, "Tags", Reason.NOT_ENCODABLE),
    ("a list for a number", {"Number": [NUMBER]}, "Number", Reason.NOT_A_NUMBER),
    ("an object for a number", {"Number": {"a": 1}}, "Number", Reason.NOT_A_NUMBER),
    ("a date for a number", {"Number": dt.date(2027, 1, 1)}, "Number", Reason.NOT_A_NUMBER),
    ("a number with a fraction", {"Number": 2782123456.5}, "Number", Reason.NOT_A_NUMBER),
    ("a decimal with a fraction", {"Number": decimal.Decimal("2782123456.5")}, "Number", Reason.NOT_A_NUMBER),
    ("a number with a fraction beside another", {"Number": 1.5, "Amount": 1.5}, "Number", Reason.NOT_A_NUMBER),
    ("bytes for a number", {"Number": b"27"}, "Number", Reason.BINARY),
    ("a number that is not set", {"Number": msgspec.UNSET}, "Number", Reason.MISSING),
    ("a decimal that is no number", {"Number": NUMBER, "Amount": decimal.Decimal("NaN")}, "Amount", Reason.NOT_FINITE),
    ("a signalling one", {"Number": NUMBER, "Amount": decimal.Decimal("sNaN")}, "Amount", Reason.NOT_FINITE),
    ("a signalling number", {"Number": decimal.Decimal("sNaN")}, "Number", Reason.NOT_FINITE),
    ("an infinite decimal", {"Number": NUMBER, "Amount": decimal.Decimal("-Inf")}, "Amount", Reason.NOT_FINITE),
    ("what its class cannot dump", Broken(), None, Reason.NOT_ENCODABLE),
    ("a reader's bad row", BadRecord("Number", Reason.RAGGED), "Number", Reason.RAGGED),
]


@pytest.mark.parametrize(("case", "record", "field", "reason"), BAD, ids=[case for case, *_ in BAD])
def test_what_cannot_go_is_refused_by_row_field_and_reason(case: str, record: Any, field, reason) -> None:
    assert problem(record) == (7, field, reason)


@pytest.mark.parametrize(("case", "record", "field", "reason"), BAD, ids=[case for case, *_ in BAD])
def test_a_bad_record_is_found_among_good_ones_and_only_it(case: str, record: Any, field, reason) -> None:
    """Also after many good ones, when the fast path has learnt what they look like."""
    shape = shape_stage("Number")
    good = [dict(GOOD) for _ in range(50)]
    for _ in range(3):
        assert shape(good, range(1, 51)).problems == []

    staged = shape([*good[:10], record, *good[10:]], range(101, 152))

    assert staged.records == good
    assert [(111, field, reason)] == [(one.row, one.field, one.reason) for one in staged.problems]
    assert list(staged.rows) == [*range(101, 111), *range(112, 152)]


def test_a_record_that_contains_itself_is_refused() -> None:
    record: dict[str, Any] = {"Number": NUMBER}
    record["Tags"] = [record]

    assert problem(record) == (7, "Tags", Reason.NOT_ENCODABLE)


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1.5,
        True,
        None,
        "",
        "emoji 🎉",
        decimal.Decimal("1.50"),
        decimal.Decimal("1E+400"),
        [Optional()],
        dt.datetime(2027, 1, 1, tzinfo=dt.UTC),
        dt.date(2027, 1, 1),
        uuid.UUID(int=5),
        Colour.RED,
        [1, "a"],
        {"a": {"b": 1}},
    ],
    ids=repr,
)
def test_what_json_can_hold_may_be_a_fields_value(value: Any) -> None:
    staged = stage({"Number": NUMBER, "Value": value})

    assert staged.problems == []
    assert json.loads(encode(staged.records[0]))["Number"] == NUMBER


def test_a_field_that_is_not_set_is_left_out() -> None:
    records = [Optional("hi"), Optional(), {"Number": NUMBER, "Message": msgspec.UNSET}, {"Number": NUMBER}]
    expected = [GOOD, {"Number": NUMBER}, {"Number": NUMBER}, {"Number": NUMBER}]
    for fitted in (False, True):
        whole = shape_stage("Number", fitted=fitted)(records, range(4))
        alone = [shape_stage("Number", fitted=fitted)([record], range(1)) for record in records]

        assert as_dicts(whole.records) == [one for staged in alone for one in as_dicts(staged.records)] == expected
        assert [*whole.problems, *(problem for staged in alone for problem in staged.problems)] == []


def test_a_field_that_is_not_set_leaves_the_common_one_and_clashes_with_none() -> None:
    common = {"Message": "all", "From": msgspec.UNSET}
    assert stage(Optional(), common=common).records == [{"Message": "all", "Number": NUMBER}]

    clash = {"cell": NUMBER, "Number": msgspec.UNSET}
    assert stage(clash, rename={"cell": "Number"}).records == [{"Number": NUMBER}]


def test_a_number_that_no_text_can_be_made_of_ends_nothing() -> None:
    """Python refuses to write a whole number of more than 4,300 digits; so does the encoder, which tells of it."""
    huge = {"Number": 10**5000}

    assert stage(huge).records == [huge]


def test_an_instance_that_cannot_be_renamed_is_held_back_as_a_dict() -> None:
    pair = stage(Person(NUMBER), rename={"Message": "Number"}).problems[0]

    assert (pair.reason, pair.record) == (Reason.SAME_NAME, {"Number": NUMBER, "Message": "hi"})


@pytest.mark.parametrize("number", [27821234567, 27821234567.0, decimal.Decimal("27821234567.0"), 0, 1])
def test_a_number_may_be_a_number(number: float) -> None:
    assert stage({"Number": number}).problems == []


def test_a_trigger_asks_for_no_number_and_takes_no_bare_one() -> None:
    assert problem({"B": "x"}, None) is None
    assert problem(NUMBER, None) == (7, None, Reason.NOT_A_RECORD)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.lists(st.floats(), max_size=2),
    st.dictionaries(st.text(max_size=2) | st.integers(), st.integers(), max_size=2),
)
records = st.dictionaries(st.sampled_from(["Number", "A", "B", "C"]) | st.integers(0, 1), values, max_size=4)


@given(st.lists(st.lists(records, max_size=6), max_size=6), st.sampled_from(["Number", None]))
def test_the_fast_path_lets_through_what_a_look_at_each_record_would(slices, field: str | None) -> None:
    """One stage over many slices, which learns as it goes, against a fresh one for each record."""
    learning = shape_stage(field)
    for one in slices:
        staged = learning(list(one), range(len(one)))
        fresh = [shape_stage(field)([record], range(row, row + 1)) for row, record in enumerate(one)]

        assert list(staged.rows) == [row for each in fresh for row in each.rows]
        assert [(p.row, p.field, p.reason) for p in staged.problems] == [
            (p.row, p.field, p.reason) for each in fresh for p in each.problems
        ]


@given(st.lists(records, max_size=20))
def test_what_is_let_through_is_written_as_it_was_meant(many) -> None:
    """No bytes as base64, no NaN as null, no integer keys as text: it comes back as it went."""
    staged = shape_stage("Number")(many, range(len(many)))

    for record in staged.records:
        try:
            written = encode(record)
        except (UnicodeEncodeError, OverflowError):  # the chunker refuses these
            continue
        assert json.loads(written) == record


# The pieces that stages are made of


def test_a_problem_shows_no_record_and_makes_an_error_without_one() -> None:
    found = Problem(3, "Number", Reason.EMPTY, {"Number": NUMBER})

    assert NUMBER not in repr(found) + repr(vars(found.error()))
    assert str(found.error()) == "record 3, field 'Number': empty"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (range(5, 9), [(5, 4)]),
        (range(0), []),
        ([], []),
        ([1, 2, 4, 5, 6, 9], [(1, 2), (4, 3), (9, 1)]),
    ],
)
def test_rows_are_kept_as_unbroken_runs(rows, expected: list[tuple[int, int]]) -> None:
    assert runs(rows) == expected


def test_a_pipeline_runs_its_stages_in_turn_and_sorts_their_problems() -> None:
    def without(bad: int):
        return lambda records, rows: only_good(
            records, rows, lambda record: (None, Reason.EMPTY) if record == bad else None
        )

    staged = pipeline([without(3), without(1)])([1, 2, 3, 4], range(1, 5))

    assert (staged.records, list(staged.rows)) == ([2, 4], [2, 4])
    assert [one.row for one in staged.problems] == [1, 3]
