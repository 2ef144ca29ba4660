"""Excel workbooks and Parquet files: what their typed cells become."""

import datetime as dt
import decimal
import io
import sys

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files import read

from mobiz_async.errors import ConfigurationError, Reason
from mobiz_async.recipients.sources import FileFormat, SourceFileError, open_recipients
from mobiz_async.recipients.stages import BadRecord


@pytest.fixture
def workbook(tmp_path):
    """A function that writes the rows of a sheet and returns the path."""

    def write(rows, name="a.xlsx", title="Sheet"):
        book = openpyxl.Workbook()
        book.active.title = title
        for row in rows:
            book.active.append(row)
        book.create_sheet("Other").append(["Number"])
        book.save(tmp_path / name)
        return tmp_path / name

    return write


def test_a_sheet_is_read_as_text(workbook):
    path = workbook(
        [
            ["Number", "n", "when", "yes", "blank"],
            ["0821234567", 12.5, dt.datetime(2026, 3, 1, 8, 30), True, None],  # noqa: DTZ001  # sheets know no zones
            [],
            [27821234567, 3, dt.date(2026, 3, 1), False, "x"],
        ]
    )
    expected = [
        {"Number": "0821234567", "n": "12.5", "when": "2026-03-01T08:30:00", "yes": "TRUE", "blank": ""},
        {"Number": "27821234567", "n": "3", "when": "2026-03-01", "yes": "FALSE", "blank": "x"},
    ]
    with open_recipients(path) as recipients:
        assert (list(recipients), recipients.length) == (expected, 3)  # with the blank one


def test_a_number_cell_that_is_no_phone_number_is_a_bad_record_and_others_go_on(workbook):
    path = workbook([["cell", "name"], [2.5, "a"], [82123456789, "b"], [1e17, "c"], [True, "d"]])
    expected = [
        BadRecord("Number", Reason.NOT_A_NUMBER),
        {"Number": "82123456789", "Message": "Hi b"},
        BadRecord("Number", Reason.TOO_LONG),
        BadRecord("Number", Reason.NOT_A_NUMBER),
    ]
    assert expected == read(path, mapping={"Number": "cell", "Message": "Hi {name}"})


def test_sheets_are_chosen_by_name(workbook):
    path = workbook([["Number"], ["1"]], title="May")
    assert read(path, sheet="Other") == []
    with pytest.raises(ConfigurationError, match="there are: May, Other"):
        open_recipients(path, sheet="June")


def test_a_sheet_can_be_empty_or_lack_a_header(workbook):
    assert read(workbook([])) == []
    assert read(workbook([["1"], ["2"]]), header=["Number"]) == [{"Number": "1"}, {"Number": "2"}]
    assert read(workbook([["1"], ["2"]]), header=["Number", "b"])[0] == {"Number": "1", "b": ""}


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv"])
def test_what_only_looks_like_a_workbook_is_told(name, file):
    with pytest.raises(SourceFileError, match="workbook"):
        open_recipients(file(name, b"PK\x03\x04 nothing of the sort"))


def test_a_workbook_from_a_stream_is_told(workbook):
    content = workbook([["Number"]]).read_bytes()
    with pytest.raises(SourceFileError, match="neither compressed nor a stream"):
        open_recipients(io.BytesIO(content))


# -- Parquet -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def parquet(tmp_path):
    """A function that writes columns and returns the path."""

    def write(columns, **options):
        pq.write_table(pa.table(columns), tmp_path / "a.parquet", **options)
        return tmp_path / "a.parquet"

    return write


def test_parquet_keeps_types_but_for_phones_times_and_decimals(parquet):
    path = parquet(
        {
            "Number": pa.array([27821234567, 27711234567, None]),
            "n": [1, 2, 3],
            "x": [0.5, None, 1.0],
            "at": [dt.date(2026, 3, 1), None, None],
            "d": [decimal.Decimal("1.50"), None, None],
        }
    )
    expected = [
        {"Number": "27821234567", "n": 1, "x": 0.5, "at": "2026-03-01", "d": "1.50"},
        {"Number": "27711234567", "n": 2, "x": None, "at": None, "d": None},
        {"Number": None, "n": 3, "x": 1.0, "at": None, "d": None},
    ]
    with open_recipients(path) as recipients:
        assert (list(recipients), recipients.length) == (expected, 3)


def test_parquets_float_phones_are_whole_or_no_numbers(parquet):
    path = parquet({"Number": [27821234567.0, 2.5, float("nan")]})
    bad = BadRecord("Number", Reason.NOT_A_NUMBER)
    assert read(path) == [{"Number": "27821234567"}, bad, bad]


def test_parquets_decimal_phones_are_whole_or_no_numbers(parquet):
    path = parquet({"Number": [decimal.Decimal("27821234567.0"), decimal.Decimal("1.5")]})
    assert read(path) == [{"Number": "27821234567"}, BadRecord("Number", Reason.NOT_A_NUMBER)]


def test_parquet_reads_only_the_columns_asked_for_in_many_groups(parquet):
    count = 1_500
    path = parquet({"a": list(range(count)), "cell": [str(n) for n in range(count)]}, row_group_size=100)
    mapping = {"Number": "cell", "Message": "no {cell}"}
    assert read(path, mapping=mapping)[-1] == {"Number": "1499", "Message": "no 1499"}
    assert read(path, mapping={"Fixed": "{{x}}"}) == [{"Fixed": "{x}"}] * count


def test_broken_parquet_is_told(parquet, file):
    with pytest.raises(SourceFileError, match="Parquet"):
        open_recipients(file("b.parquet", b"PAR1 nothing of the sort"))
    path = parquet({"Number": [str(n) for n in range(5_000)]}, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[4:2_000] = b"\xff" * 1_996
    path.write_bytes(content)
    with pytest.raises(SourceFileError, match="record 1: it cannot be read further"):
        read(path)


@pytest.mark.parametrize(
    ("module", "head", "line"),
    [
        ("zstandard", b"\x28\xb5\x2f\xfd", "zstd"),
        ("python_calamine", b"PK\x03\x04", "excel"),
        ("pyarrow", b"PAR1", "parquet"),
    ],
)
def test_each_missing_extra_is_named_by_its_exact_line(module, head, line, file, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"pip install 'mobiz-async\[{line}\]'"):
        open_recipients(file("a", head))


def test_a_format_that_is_named_wins_over_the_name(file):
    assert read(file("a.csv", '{"Number": "1"}\n'), format=FileFormat.JSON_LINES) == [{"Number": "1"}]


def test_a_text_shows_a_number_of_any_file_with_the_digits_that_a_spreadsheet_shows(parquet):
    values = [1.1 * 3, 0.1 + 0.2, 1234567890123456.0, 1e-7, -2.5, 1e22]
    path = parquet({"Number": ["0821234567"] * len(values), "sum": values})
    shown = [record["Message"] for record in read(path, mapping={"Number": "Number", "Message": "R{sum}"})]
    assert shown == ["R3.3", "R0.3", "R1234567890123456", "R0.0000001", "R-2.5", "R10000000000000000000000"]
    assert [record["sum"] for record in read(path)] == values  # which is a number as long as it is no text
