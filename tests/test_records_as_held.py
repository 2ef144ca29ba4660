"""Records in whatever form a program holds them arrive as the fields the API is to see."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from collections import UserDict, namedtuple
from contextlib import closing
from datetime import date
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, TypedDict
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

from mobiz_async import InvalidRecordError, MobizClient, Reason
from mobiz_async.testing import FakeTransport


class Held(TypedDict):
    Number: str
    Name: str


@attrs.frozen
class Attrs:
    phone: str = attrs.field(metadata={"mobiz": "Number"})
    Name: str


@dataclasses.dataclass(slots=True)
class Data:
    phone: str = dataclasses.field(metadata={"mobiz": "Number"})
    Name: str


class Struct(msgspec.Struct):
    phone: str = msgspec.field(name="Number")
    Name: str


class Named(NamedTuple):
    Number: str
    Name: str


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)
    phone: str = pydantic.Field(alias="Number")
    Name: str


@pydantic.dataclasses.dataclass
class PydanticData:
    Number: str
    Name: str


class AlchemyRow:
    """Has what SQLAlchemy's ``Row`` has: neither a tuple nor a mapping."""

    def __init__(self, *columns: tuple[str, str]) -> None:
        self._columns = columns
        self._fields = tuple(name for name, _ in columns)

    def __len__(self) -> int:
        return len(self._fields)

    def __iter__(self):
        return iter(value for _, value in self._columns)

    def _asdict(self) -> dict[str, str]:
        return dict(self._columns)


class AsyncpgRecord:
    """Has what asyncpg's ``Record`` has: names and values, and no class in common with a mapping."""

    def __init__(self, *columns: tuple[str, str]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns)

    def __iter__(self):
        return iter(value for _, value in self._columns)

    def __getitem__(self, name: str) -> str:
        return next(value for known, value in self._columns if known == name)

    def keys(self):
        return iter(name for name, _ in self._columns)


def fetched(select: str) -> sqlite3.Row:
    with closing(sqlite3.connect(":memory:")) as database:
        database.row_factory = sqlite3.Row
        return database.execute(select).fetchone()


OldNamed = namedtuple("OldNamed", ["Number", "Name"])  # noqa: PYI024  as older programs have it
EXPECTED = {"Number": "27821234567", "Name": "Thandi"}
FORMS = [
    dict(EXPECTED),
    Held(Number="27821234567", Name="Thandi"),
    MappingProxyType(EXPECTED),
    UserDict(EXPECTED),
    Attrs("27821234567", "Thandi"),
    Data("27821234567", "Thandi"),
    Struct("27821234567", "Thandi"),
    Named("27821234567", "Thandi"),
    OldNamed("27821234567", "Thandi"),
    Model(phone="27821234567", Name="Thandi"),
    PydanticData("27821234567", "Thandi"),
    fetched("SELECT '27821234567' AS Number, 'Thandi' AS Name"),
    AlchemyRow(("Number", "27821234567"), ("Name", "Thandi")),
    AsyncpgRecord(("Number", "27821234567"), ("Name", "Thandi")),
]


@pytest.fixture
async def fake():
    return FakeTransport()


async def arrived(fake, records, **options):
    """Send records in a bulk run and return what the server got."""
    async with MobizClient(transport=fake) as mobiz:
        (await mobiz.send_bulk("1", records, **options)).raise_for_failures()
    return fake.records("1")


@pytest.mark.parametrize("record", FORMS, ids=lambda record: type(record).__name__)
async def test_a_bulk_run_takes_any_form(fake, record):
    assert await arrived(fake, [record]) == [EXPECTED]


@pytest.mark.parametrize("record", FORMS, ids=lambda record: type(record).__name__)
async def test_a_trigger_and_a_coalesced_send_take_any_form(fake, record):
    async with MobizClient(transport=fake) as mobiz:
        await mobiz.trigger("spring", record)
        async with mobiz.coalesce("spring") as otp:
            await otp.send(record)

    assert fake.triggered("spring") == [EXPECTED, EXPECTED]


async def test_all_forms_may_come_in_one_run(fake):
    assert await arrived(fake, iter(FORMS)) == [EXPECTED] * len(FORMS)


async def test_an_async_source_may_hold_any_form(fake):
    async def source():
        for record in FORMS:
            yield record

    assert await arrived(fake, source()) == [EXPECTED] * len(FORMS)


Row = namedtuple("Row", ["cell", "who"])  # noqa: PYI024  as database drivers make them


@pytest.mark.parametrize("record", [{"cell": "27821234567", "who": "Thandi"}, Row("27821234567", "Thandi")])
async def test_fields_are_renamed_by_a_mapping(fake, record):
    assert await arrived(fake, [record], rename={"cell": "Number", "who": "Name"}) == [EXPECTED]


async def test_renaming_comes_after_the_names_in_metadata(fake):
    assert await arrived(fake, [Attrs("27821234567", "Thandi")], rename={"Number": "Cell"}, number_field="Cell") == [
        {"Cell": "27821234567", "Name": "Thandi"}
    ]


async def test_pydantic_dumps_what_its_types_mean(fake):
    class Rich(pydantic.BaseModel):
        Number: str
        Pin: pydantic.SecretStr
        Born: date
        Nested: Model

    record = Rich(Number="27821234567", Pin="4711", Born=date(1990, 1, 2), Nested=Model(phone="1", Name="x"))

    assert await arrived(fake, [record]) == [
        {
            "Number": "27821234567",
            "Pin": "**********",
            "Born": "1990-01-02",
            "Nested": {"Number": "1", "Name": "x"},
        }
    ]


async def test_values_that_are_no_text_are_written_as_json_has_them(fake):
    class Kind(StrEnum):
        NEW = "new"

    record = {
        "Number": "27821234567",
        "Due": Decimal("12.50"),
        "Born": date(1990, 1, 2),
        "Id": UUID(int=1),
        "Kind": Kind.NEW,
        "Points": 7,
        "Member": True,
        "Title": None,
    }

    assert await arrived(fake, [record]) == [
        {
            "Number": "27821234567",
            "Due": "12.50",
            "Born": "1990-01-02",
            "Id": "00000000-0000-0000-0000-000000000001",
            "Kind": "new",
            "Points": 7,
            "Member": True,
            "Title": None,
        }
    ]


@pytest.mark.parametrize(
    "record",
    [
        fetched("SELECT '27821234567' AS Number, 'Thandi' AS Name, 'Mr' AS Name"),
        AlchemyRow(("Number", "27821234567"), ("Name", "Thandi"), ("Name", "Mr")),
        AsyncpgRecord(("Number", "27821234567"), ("Name", "Thandi"), ("Name", "Mr")),
    ],
    ids=lambda record: type(record).__name__,
)
async def test_a_row_with_two_columns_of_one_name_is_refused(fake, record):
    with pytest.raises(InvalidRecordError) as caught:
        await arrived(fake, [record])

    assert (caught.value.row, caught.value.field, caught.value.reason) == (1, "Name", Reason.SAME_NAME)
    assert fake.requests == []


@pytest.mark.parametrize("record", FORMS, ids=lambda record: type(record).__name__)
async def test_a_single_record_is_no_source_of_records(fake, record):
    with contextlib.suppress(TypeError, InvalidRecordError):
        await arrived(fake, record)

    assert fake.requests == []


class Frame:
    """Has what a data frame of pandas has: iterating it gives the names of its columns."""

    columns = ("Number", "Name")

    def keys(self):
        return self.columns

    def __getitem__(self, name):
        raise AssertionError("nobody asked for it")

    def __iter__(self):
        return iter(self.columns)


class Series(Frame):
    """Has what a column of pandas has: its keys are places."""

    def keys(self):
        return range(2)

    def __iter__(self):
        return iter(["27821234567", "27821234568"])


class FrameOfColumns:
    """Has what a data frame of polars has: iterating it gives its columns, each of them a series."""

    columns = ("Number", "Name")
    shape = (1, 2)

    def __iter__(self):
        return iter([Series(), Series()])


@pytest.mark.parametrize("frame", [Frame(), FrameOfColumns()])
async def test_a_data_frame_is_no_source_of_records_whatever_is_to_be_done_about_bad_ones(fake, frame):
    with pytest.raises(TypeError, match="nor a data frame"):
        await arrived(fake, frame, on_invalid="skip")

    assert fake.requests == []


async def test_a_column_of_one_is(fake):
    assert await arrived(fake, Series()) == [{"Number": "27821234567"}, {"Number": "27821234568"}]


@pytest.mark.parametrize("record", [("27821234567", "Thandi"), 27821234567, object(), Attrs, None])
async def test_what_has_no_named_fields_is_no_record(fake, record):
    with pytest.raises(InvalidRecordError) as caught:
        await arrived(fake, [record])

    assert (caught.value.row, caught.value.reason) == (1, Reason.NOT_A_RECORD)
    assert fake.requests == []
