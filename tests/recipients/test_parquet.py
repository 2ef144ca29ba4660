"""Parquet: columns by their names, and values that Python, JSON or a text have no room for."""

import decimal
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files import read

from mobiz_async.errors import Reason
from mobiz_async.recipients.files import MAX_LINE
from mobiz_async.recipients.sources import SourceFileError, open_recipients
from mobiz_async.recipients.stages import BadRecord


@pytest.fixture
def parquet(tmp_path):
    """A function that writes columns and returns the path."""

    def write(columns):
        pq.write_table(pa.table(columns), tmp_path / "a.parquet")
        return tmp_path / "a.parquet"

    return write


def test_a_column_with_a_dot_in_its_name_is_not_a_part_of_another(parquet):
    path = parquet({"a": [{"b": 1}], "a.b": ["x"], "c": ["y"], "c.d": ["z"]})
    assert read(path, mapping={"Number": "a.b", "M": "c"}) == [{"Number": "x", "M": "y"}]
    assert read(path, mapping={"M": "c", "a": "a"}) == [{"M": "y", "a": {"b": 1}}]


@pytest.mark.parametrize("kind", [pa.float32(), pa.float16()])
def test_phone_numbers_in_floats_too_short_for_them_are_ruined(kind, parquet):
    path = parquet({"Number": pa.array([3.0, None]).cast(kind), "n": ["a", "b"]})
    found = read(path)
    assert found == [BadRecord("Number", Reason.RUINED), {"Number": None, "n": "b"}]
    assert found[0].cells == {"Number": 3.0, "n": "a", "_raw": '{"Number": 3.0, "n": "a"}'}


def test_short_floats_are_read_as_they_were_written(parquet):
    path = parquet({"Number": ["1", "2"], "x": pa.array([9.99, None], pa.float32())})
    assert read(path) == [{"Number": "1", "x": 9.99}, {"Number": "2", "x": None}]
    assert read(path, mapping={"M": "R {x}"}) == [{"M": "R 9.99"}, {"M": "R "}]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (pa.timestamp("ns"), "2023-11-14T22:13:20.123456"),
        (pa.timestamp("ns", "Africa/Johannesburg"), "2023-11-15T00:13:20.123456+02:00"),
        (pa.duration("ns"), "472222:13:20.123456"),
    ],
)
def test_times_are_read_to_the_microsecond(kind, text, parquet):
    path = parquet({"Number": ["1", "2"], "t": pa.array([1700000000123456789, None], kind)})
    assert read(path) == [{"Number": "1", "t": text}, {"Number": "2", "t": None}]


def test_times_of_day_are_read_to_the_microsecond_too(parquet):
    path = parquet({"Number": ["1"], "t": pa.array([17000000000001], pa.time64("ns"))})
    assert read(path) == [{"Number": "1", "t": "04:43:20"}]


@pytest.mark.parametrize(("microseconds", "text"), [(-60_000_000, "-0:01:00"), (1_500_000, "0:00:01.5")])
def test_durations_are_hours_minutes_and_seconds(microseconds, text, parquet):
    assert read(parquet({"t": pa.array([microseconds], pa.duration("us"))}), mapping={"M": "{t}"}) == [{"M": text}]


NOT_UTF8 = pa.Array.from_buffers(pa.string(), 2, pa.array([b"ab\xff", b"cd"]).buffers())


@pytest.mark.parametrize(
    "values",
    [
        pa.array([10**15, 1], pa.timestamp("s")),
        pa.array([[10**15], [1]], pa.list_(pa.timestamp("s"))),
        pa.array([2**62, 1], pa.timestamp("us", "Africa/Johannesburg")),
        NOT_UTF8,
    ],
)
def test_a_value_that_cannot_be_read_is_a_bad_record_and_others_go_on(values, parquet):
    found = read(parquet({"Number": ["1", "2"], "x": values, "n": ["a", "b"]}))
    assert found[0] == BadRecord("x", Reason.NOT_ENCODABLE)
    assert found[0].cells == {"Number": "1", "x": "", "n": "a", "_raw": '{"Number": "1", "x": "", "n": "a"}'}
    assert (found[1]["Number"], found[1]["n"]) == ("2", "b")
    assert read(parquet({"Number": ["1", "2"], "x": values}), mapping={"Number": "Number"})[0] == {"Number": "1"}


def test_a_zone_that_nobody_knows_makes_bad_records(parquet):
    path = parquet({"Number": ["1"], "t": pa.array([1], pa.timestamp("s", "Mars/Base"))})
    assert read(path) == [BadRecord("t", Reason.NOT_ENCODABLE)]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([b"Thandi", b"Sipho"], Reason.BINARY),
        ([float("nan"), 1.0], Reason.NOT_FINITE),
        ([float("inf"), 1.0], Reason.NOT_FINITE),
        ([[1, 2], None], Reason.NOT_TEXT),
        ([{"a": 1}, None], Reason.NOT_TEXT),
    ],
)
def test_what_cannot_be_a_field_is_no_part_of_a_text_either(values, reason, parquet):
    path = parquet({"cell": ["1", "2", "3"], "x": [*values, None]})
    found = read(path, mapping={"Number": "cell", "Message": "Hi {x}", "n": "no {cell}"})
    assert (found[0], found[2]) == (BadRecord("Message", reason), {"Number": "3", "Message": "Hi ", "n": "no 3"})
    assert {**found[0].cells, "_raw": ""} == {"Number": "1", "n": "no 1", "_raw": ""}


def test_templates_show_whole_floats_booleans_and_decimals_as_a_spreadsheet_does(parquet):
    price = pa.array([decimal.Decimal("0E-8"), None], pa.decimal128(12, 8))
    path = parquet({"n": [1234.0, None], "b": [True, False], "p": price})
    assert read(path, mapping={"M": "{n} {b} {p}"}) == [{"M": "1234 TRUE 0.00000000"}, {"M": " FALSE "}]


def test_a_parquet_file_from_a_pipe_is_told_apart_from_text(parquet):
    content = parquet({"Number": ["1"]}).read_bytes()
    with pytest.raises(Exception, match="neither compressed nor a stream"):
        open_recipients(io.BytesIO(content))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_binary(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("values", [["x", "y" * (MAX_LINE + 1)], ["x" * (MAX_LINE // 2), "y" * (MAX_LINE // 2 + 1)]])
def test_long_values_that_the_file_has_once_for_many_rows_are_refused_before_they_are_made(kind, values, tmp_path):
    """A file of 3 kB took gigabytes, of which the first row may say nothing."""
    texts = pa.DictionaryArray.from_arrays([0] * 10 + [1] * 20, values).cast(kind)
    table = pa.table({"Number": ["27821234567"] * len(texts), "a": texts, "b": texts})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", dictionary_pagesize_limit=1 << 30)
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    with pytest.raises(SourceFileError, match="a row of it may be longer than 1,048,576 bytes"):
        open_recipients(tmp_path / "a.parquet")
    assert len(read(tmp_path / "a.parquet", mapping={"Number": "Number"})) == 30  # nothing else is read


def test_a_large_file_of_short_values_is_not_taken_for_one_of_long_ones(parquet):
    texts = [f"Hi {n}" for n in range(150_000)]
    recipients = open_recipients(parquet({"Number": texts, "Message": texts}))
    assert (recipients.length, sum(1 for _ in recipients)) == (150_000, 150_000)
