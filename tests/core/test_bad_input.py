"""Records that cannot go: an error by row and field that shows no number; or they are skipped, and the rest goes."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import Network, client_on, numbers, rows

from mobiz_async import BulkReport, ConfigurationError, DataList, InvalidRecordError, Reason, StopReason

NUMBER = "27829998877"
LARGE = "x" * 300

BAD: list[tuple[str, Any, str | None, Reason]] = [
    ("no phone field", {"Phone": NUMBER}, "Number", Reason.MISSING),
    ("an empty phone field", {"Number": ""}, "Number", Reason.EMPTY),
    ("no mapping", 5, None, Reason.NOT_A_RECORD),
    ("nothing", None, None, Reason.NOT_A_RECORD),
    ("a list", [NUMBER], None, Reason.NOT_A_RECORD),
    ("NaN", {"Number": NUMBER, "Amount": float("nan")}, "Amount", Reason.NOT_FINITE),
    ("infinity", {"Number": NUMBER, "Amount": float("inf")}, "Amount", Reason.NOT_FINITE),
    ("a key that is no string", {"Number": NUMBER, 1: "x"}, None, Reason.KEY_NOT_TEXT),
    ("bytes", {"Number": NUMBER, "Message": b"hi"}, "Message", Reason.BINARY),
    ("bytes as the number", {"Number": NUMBER.encode()}, "Number", Reason.BINARY),
    ("bytes as the record", NUMBER.encode(), None, Reason.NOT_A_RECORD),
    ("an object", {"Number": NUMBER, "Message": object()}, "Message", Reason.NOT_ENCODABLE),
    ("half a surrogate pair", {"Number": NUMBER, "Message": "\ud83d"}, None, Reason.NOT_ENCODABLE),
    ("larger than a chunk may be", {"Number": NUMBER, "Message": LARGE}, None, Reason.TOO_LARGE),
]
IDS = [case for case, *_ in BAD]


@pytest.mark.parametrize(("case", "record", "field", "reason"), BAD, ids=IDS)
@pytest.mark.parametrize("before", [0, 3, 777])
async def test_a_record_that_cannot_go_ends_the_run_by_row_and_field(case, record, field, reason, before: int) -> None:
    network = Network()
    async with client_on(network) as client:
        with pytest.raises(InvalidRecordError) as raised:
            await client.send_bulk("1", [*rows(before), record, *rows(5)], max_chunk_bytes=200)

    error = raised.value
    assert (before + 1, reason) == (error.row, error.reason)
    if case != "half a surrogate pair":  # a text that looks good is looked at by its encoder only
        assert field == error.field
        assert field is None or repr(field) in str(error)
    assert f"record {before + 1:,}" in str(error)
    assert NUMBER not in str(error)
    report = error.report
    assert isinstance(report, BulkReport)
    assert (StopReason.SOURCE, error) == (report.stopped, report.error)
    assert report.read == report.accepted + report.not_sent
    assert sum(post.records for post in network.posts) == report.accepted <= before


@pytest.mark.parametrize(("case", "record", "field", "reason"), BAD, ids=IDS)
async def test_a_record_that_cannot_go_is_skipped_on_request_and_the_rest_goes(case, record, field, reason) -> None:
    network = Network()
    source = [*rows(3), record, *rows(300), record]
    async with client_on(network) as client:
        report = await client.send_bulk("1", source, max_chunk_bytes=200, on_invalid="skip")

    assert (report.accepted, report.skipped, report.read, report.ok) == (303, 2, 305, True)
    assert {reason.value: 2} == report.skipped_by_reason
    assert [*rows(3), *rows(300)] == [sent for body in network.bodies for sent in body]


async def test_nothing_but_bad_records_skipped_is_a_success_without_a_request() -> None:
    network = Network()
    async with client_on(network) as client:
        report = await client.send_bulk("1", [None] * 1_000, on_invalid="skip")

    assert (report.skipped, report.ok, network.count) == (1_000, True, 0)


async def test_a_bad_record_in_the_millions_is_named() -> None:
    network = Network(keep=False)

    def source() -> Any:
        yield from ("27821234567" for _ in range(1_000_000))
        yield float("nan")

    async with client_on(network) as client:
        with pytest.raises(InvalidRecordError, match="record 1,000,001: not a mapping"):
            await client.send_bulk("1", source())


@pytest.mark.parametrize(
    ("value", "field", "reason"),
    [
        ({"Number": "082 123 4567", "Age": "3"}, "Number", Reason.NOT_MSISDN),
        ({"Number": NUMBER, "Age": "three"}, "Age", Reason.NOT_NUMERIC),
        ({"Number": NUMBER, "Age": "3", "Mail": "nobody"}, "Mail", Reason.NOT_EMAIL),
        ({"Number": NUMBER, "Age": "3", "Other": "x"}, "Other", Reason.UNKNOWN_FIELD),
    ],
)
async def test_a_lists_definition_is_checked_before_anything_is_sent(value: Any, field: str, reason: Reason) -> None:
    contacts = DataList("1", "Spring", {"Number": "msisdn", "Age": "numeric", "Mail": "email"})
    network = Network()
    good = {"Number": NUMBER, "Age": "3", "Mail": "a@example.com"}
    async with client_on(network) as client:
        with pytest.raises(InvalidRecordError) as raised:
            await client.append(contacts, [good, {**good, **value}])

    assert (2, field, reason, 0) == (raised.value.row, raised.value.field, raised.value.reason, network.count)
    assert "082" not in str(raised.value)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("082 123", Reason.TOO_SHORT),
        ("2.79E+10", Reason.RUINED),
        ("nobody", Reason.NOT_A_NUMBER),
    ],
)
async def test_a_number_that_is_none_is_named_when_numbers_are_normalised(number: str, reason: Reason) -> None:
    async with client_on(Network()) as client:
        with pytest.raises(InvalidRecordError) as raised:
            await client.send_bulk("1", ["082 123 4567", number], region="ZA")

    assert (2, "Number", reason) == (raised.value.row, raised.value.field, raised.value.reason)
    assert number not in str(raised.value)


async def test_national_numbers_are_brought_to_the_apis_form_on_request() -> None:
    network = Network()
    async with client_on(network) as client:
        await client.send_bulk("1", ["082 123 4567", "+27 (82) 123-4568"], region="ZA")

    assert network.bodies == [[{"Number": "27821234567"}, {"Number": "27821234568"}]]


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        ("27821234567", None, Reason.NOT_A_RECORD),
        ({"A": float("nan")}, "A", Reason.NOT_FINITE),
        ({"A": b"27"}, "A", Reason.BINARY),
        ({1: "27"}, None, Reason.KEY_NOT_TEXT),
        ({"A": "\ud83d"}, None, Reason.NOT_ENCODABLE),
        (None, None, Reason.NOT_A_RECORD),
    ],
)
@pytest.mark.parametrize("operation", ["trigger", "schedule", "trigger_many", "schedule_many"])
async def test_a_trigger_that_cannot_go_is_refused_before_anything_is_sent(operation, record, field, reason) -> None:
    network = Network()
    given = [record] if operation.endswith("many") else record
    more = {"send_time": "later"} if operation.startswith("schedule") else {}
    async with client_on(network) as client:
        with pytest.raises(InvalidRecordError) as raised:
            await getattr(client, operation)("key", given, **more)

    assert (1, reason, 0) == (raised.value.row, raised.value.reason, network.count)
    if reason is not Reason.NOT_ENCODABLE:
        assert raised.value.field == field


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("dedupe", ["Number"]),
        ("dedupe", True),
        ("number_field", 5),
        ("rename", {"Phone": ["Number"]}),
        ("rename", {5: "Number"}),
        ("rename", {"Phone": None}),
        ("rename", "Number"),
        ("rename", ["Number"]),
    ],
)
async def test_a_name_of_a_field_that_is_no_text_is_the_settings_fault_and_no_records(setting: str, value: Any) -> None:
    network = Network()
    async with client_on(network) as client:
        with pytest.raises(ConfigurationError, match=f"^{setting} is ") as raised:
            await client.send_bulk("1", rows(3), **{setting: value})

    assert (raised.value.setting, network.count) == (setting, 0)


async def test_numbers_that_are_whole_numbers_go_as_they_are() -> None:
    network = Network()
    async with client_on(network) as client:
        report = await client.send_bulk("1", [{"Number": int(number)} for number in numbers(2)])

    assert report.accepted == 2
    assert [[{"Number": int(number)} for number in numbers(2)]] == network.bodies
