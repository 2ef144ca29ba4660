"""A look before sending: the books, the requests, the segments and the places."""

import decimal
import json
import random
import sys

import msgspec
import pytest

from mobiz_async.client import MobizClient
from mobiz_async.errors import ConfigurationError, Reason
from mobiz_async.models import DataList
from mobiz_async.recipients.preview import BadRow, preview
from mobiz_async.recipients.stages import BadRecord
from mobiz_async.testing import FakeTransport


def test_a_list_is_counted_and_its_bad_rows_named():
    records = [
        {"Number": "082 123 4567", "Message": "Hi"},
        {"Number": "082", "Message": "Hi"},
        {"Number": "+44 7911 123456", "Message": "Hé"},
        BadRecord(None, Reason.RAGGED),
        {"Number": "0821234567", "Message": "again"},
        {"Number": "0711234567", "Message": "Ndiyabulela \u2013 😀"},
        {"Number": "0611234567"},
        "0831234567",
    ]
    checks = {"region": "ZA", "dedupe": "Number", "suppress": ["0611234567"]}
    found = preview(records, **checks, price_per_segment="0.25", first_bad=3)
    assert (found.read, found.good) == (8, 4)
    assert found.held_back == {
        Reason.TOO_SHORT.value: 1,
        Reason.RAGGED.value: 1,
        Reason.DUPLICATE.value: 1,
        Reason.SUPPRESSED.value: 1,
    }
    assert found.bad == (
        BadRow(2, "Number", Reason.TOO_SHORT),
        BadRow(4, None, Reason.RAGGED),
        BadRow(5, "Number", Reason.DUPLICATE),
    )
    assert (found.messages, found.segments, found.cost) == (3, 3, decimal.Decimal("0.75"))
    assert (found.encodings, found.forced_by) == ({"GSM-7": 2, "UCS-2": 1}, {"\u2013": 1})
    assert (found.countries, found.prefixes) == ({"ZA": 3, "GB (+44)": 1}, {"2782": 1, "4479": 1, "2771": 1, "2783": 1})
    assert found.requests == 1


def test_the_definition_is_checked_as_a_run_would():
    found = preview([{"Number": "0821234567", "x": "1"}], definition={"Number": "msisdn"})
    assert found.held_back == {Reason.UNKNOWN_FIELD.value: 1}


FIELDS = {"cell": "msisdn", "Message": "text"}
PEOPLE = [
    {"cell": "082 123 4567", "Text": "Hi"},
    {"cell": "+27821234567", "Text": "Hi"},
    {"cell": "27821234567", "Message": "Hi"},
    {"Text": "Hi"},
    {"cell": "27821234567", "Other": "Hi"},
]


@pytest.mark.parametrize("definition", [None, FIELDS])
@pytest.mark.parametrize("region", [{}, {"region": "ZA"}])
@pytest.mark.parametrize("dedupe", [{}, {"dedupe": "cell"}])
@pytest.mark.parametrize("rename", [{}, {"rename": {"Text": "Message"}}, {"rename": {"Other": "cell"}}])
async def test_what_it_says_is_what_send_bulk_with_the_same_settings_does(definition, region, dedupe, rename):
    checks = {**region, **dedupe, **rename, "common": {"Message": "hello"}, "suppress": [27_000_000_000, None]}
    fake = FakeTransport()
    async with MobizClient(transport=fake) as client:
        report = await client.send_bulk(DataList("1", "x", definition), PEOPLE, on_invalid="skip", **checks)
    found = preview(PEOPLE, definition=definition, **checks)

    assert (found.read, found.good, found.held_back) == (report.read, report.accepted, report.skipped_by_reason)
    assert found.bytes == sum(len(request.body) for request in fake.requests)


@pytest.mark.parametrize("given", ["27821234567", b"27821234567", {"Number": "27821234567"}], ids=type)
def test_a_single_text_or_record_is_no_source_of_records(given):
    with pytest.raises(TypeError, match="not a single text or record, nor a data frame"):
        preview(given)


def test_a_field_that_is_renamed_and_common_to_all_may_be_looked_at_for_duplicates():
    people = [{"Number": "27821234567", "Message": "Hi"}, {"Number": "27821234568"}]
    found = preview(people, rename={"Message": "Text"}, common={"Message": "hello"}, dedupe="Message")

    assert (found.good, found.held_back) == (1, {Reason.DUPLICATE.value: 1})


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ({"mobile_only": True}, "mobile_only needs region"),
        ({"dedupe": "cell", "rename": {"cell": "Number"}}, "'cell' is renamed to 'Number'"),
        ({"dedupe": "Email", "definition": FIELDS}, "dedupe is no field of the list"),
        ({"dedupe": "number"}, "the numbers are in 'Number': case matters"),
        ({"dedupe": ""}, "dedupe is the name of a field"),
        ({"number_field": ""}, "number_field is the name of a field"),
        ({"common": "Message"}, "common is a mapping of fields"),
    ],
)
async def test_a_check_that_could_never_find_anything_is_refused(checks, said):
    """It would text people twice, or others than mobile numbers, and say nothing."""
    contacts, fake = DataList("1", "x", checks.get("definition")), FakeTransport()
    settings = {name: value for name, value in checks.items() if name != "definition"}
    with pytest.raises(ConfigurationError, match=said):
        preview(PEOPLE, **checks)
    async with MobizClient(transport=fake) as client:
        with pytest.raises(ConfigurationError, match=said):
            await client.send_bulk(contacts, PEOPLE, **settings)

    assert fake.requests == []


def test_an_asynchronous_source_is_refused_by_its_name():
    async def source():
        yield {"Number": "27821234567"}

    with pytest.raises(TypeError, match="an asynchronous source"):
        preview(source())


def test_it_tells_no_number_and_no_text():
    found = preview([{"Number": "0821234567", "Message": "secret"}, {"Number": "08212", "Message": "secret"}])
    shown = repr(found) + json.dumps(found.to_dict())
    assert "secret" not in shown
    assert "21234567" not in shown
    assert "08212" not in shown


def test_its_dict_is_json_and_loses_no_cent():
    found = preview([{"Number": "0821234567", "Message": "x" * 161}] * 3 + [{"Number": ""}], price_per_segment=0.1)
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["cost"] == "0.6"
    assert plain["bad"] == [{"row": 4, "field": "Number", "reason": "empty"}]
    assert plain["read"] == 4


def test_without_a_price_there_is_no_cost():
    assert preview([]).to_dict()["cost"] is None


@pytest.mark.parametrize("price", ["a lot", -1, float("nan"), "Infinity"])
def test_a_price_is_an_amount(price):
    with pytest.raises(ConfigurationError, match="price_per_segment"):
        preview([], price_per_segment=price)


@pytest.mark.parametrize(("chunk_size", "max_chunk_bytes"), [(10, 1 << 20), (10_000, 700), (7, 400), (1, 64)])
def test_requests_and_bytes_are_those_of_greedy_chunks(chunk_size, max_chunk_bytes):
    rng = random.Random(3)
    records = [{"Number": "27821234567", "Message": "é" * rng.randrange(40)} for _ in range(600)]
    found = preview(records, chunk_size=chunk_size, max_chunk_bytes=max_chunk_bytes)
    bodies = []
    chunk = []
    fit = [record for record in records if len(msgspec.json.encode([record])) <= max_chunk_bytes]
    for record in fit:
        if chunk and (len(chunk) == chunk_size or len(msgspec.json.encode([*chunk, record])) > max_chunk_bytes):
            bodies.append(chunk)
            chunk = []
        chunk.append(record)
    bodies.append(chunk)
    expected = (len(bodies), sum(len(msgspec.json.encode(body)) for body in bodies), len(records) - len(fit))
    assert expected == (found.requests, found.bytes, found.held_back.get(Reason.TOO_LARGE.value, 0))


def test_numbers_are_left_alone_without_a_region():
    found = preview([{"Number": "0821234567"}], region=None)
    assert (found.good, found.countries, found.prefixes) == (1, {"other": 1}, {})


def test_codes_that_regions_share_or_none_has_are_told_by_the_code():
    found = preview(["+1 201 555 0123", "+800 1234 5678", "+264 81 123 4567"], region="ZA")
    assert found.countries == {"US (+1)": 1, "international (+800)": 1, "NA": 1}


def test_without_the_extra_south_africa_is_known(monkeypatch):
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    found = preview([{"Number": "0821234567"}, {"Number": "447911123456"}], region=None)
    assert found.countries == {"other": 2}
    assert preview([{"Number": "0821234567"}], region="ZA").prefixes == {"2782": 1}


def test_it_reads_its_source_as_it_goes():
    """Of ten thousand records a few hundred are alive at once."""
    alive = set()
    most = 0

    class Record(dict):
        def __init__(self, number):
            super().__init__(Number=number)
            alive.add(id(self))

        def __del__(self):
            alive.discard(id(self))

    def source():
        nonlocal most
        for n in range(10_000):
            most = max(most, len(alive))
            yield Record(f"2782{n:07}")

    assert preview(source()).good == 10_000
    assert most < 1_000


def test_what_cannot_be_written_is_held_back_and_not_shown():
    found = preview([{"Number": "0821234567", "Message": "half a \ud83d smile"}], region=None)

    assert (found.good, found.bad) == (0, (BadRow(1, "Message", Reason.NOT_ENCODABLE),))
