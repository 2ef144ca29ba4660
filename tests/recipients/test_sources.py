"""Files of recipients: every format and spelling of them, and every way in which they can be bad."""

import csv
import datetime as dt
import decimal
import gzip
import io
import sys

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mobiz_async.errors import ConfigurationError, MobizError, Reason
from mobiz_async.recipients import columns
from mobiz_async.recipients.files import MAX_LINE
from mobiz_async.recipients.sources import FileFormat, SourceFileError, open_recipients
from mobiz_async.recipients.stages import BadRecord

ROWS = [{"Number": "0821234567", "Message": "Hi, Thandi"}, {"Number": "0711234567", "Message": "Sawubona"}]
CSV = 'Number,Message\n0821234567,"Hi, Thandi"\n0711234567,Sawubona\n'


def read(source, **options):
    with open_recipients(source, **options) as recipients:
        return list(recipients)


def stream(text, encoding="utf-8"):
    return io.BytesIO(text.encode(encoding) if isinstance(text, str) else text)


@pytest.fixture
def file(tmp_path):
    """A function that writes a file and returns its path."""

    def write(name, content, encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


# -- text files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_and_line_ends_are_found_out(delimiter, ends):
    lines = [["Number", "Message"], ["0821234567", "Hi"], ["0711234567", "Ho"]]
    text = "".join(delimiter.join(line) + ends for line in lines)
    assert read(stream(text)) == [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_quotes_hold_delimiters_newlines_and_quotes(ends):
    text = f'Number,Message{ends}1,"a,b{ends}c ""d"""{ends}2,plain{ends}'
    assert [{"Number": "1", "Message": f'a,b{ends}c "d"'}, {"Number": "2", "Message": "plain"}] == read(stream(text))


def test_the_delimiter_is_the_one_that_cuts_rows_alike():
    text = 'name;Number\n"Dlamini, Thandi";0821234567\nBotha, Jan, snr;0711234567\n'
    assert read(stream(text))[1] == {"name": "Botha, Jan, snr", "Number": "0711234567"}


def test_one_column_is_a_table_too():
    assert read(stream("Number\n0821234567\n\n0711234567")) == [{"Number": "0821234567"}, {"Number": "0711234567"}]


def test_a_given_delimiter_wins():
    assert read(stream("a:b\n1:2\n"), delimiter=":") == [{"a": "1", "b": "2"}]


def test_excels_separator_line_names_the_delimiter_and_is_no_header():
    assert read(stream("sep=;\r\nNumber;a,b\r\n1;2,5\r\n")) == [{"Number": "1", "a,b": "2,5"}]


def test_tsv_by_name_is_cut_at_tabs_only(file):
    assert read(file("a.tsv", "Number\tMessage\n1\ta,b,c,d\n")) == [{"Number": "1", "Message": "a,b,c,d"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_byte_order_marks_tell_the_encoding(encoding):
    content = CSV.replace("Thandi", "Thandé 😀").encode(encoding)
    if encoding == "utf-16-le":
        content = b"\xff\xfe" + content
    assert read(stream(content))[0]["Message"] == "Hi, Thandé 😀"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "UTF8", "utf-16"])
def test_a_mark_of_the_named_encoding_is_no_part_of_the_header(encoding):
    written = "utf-8-sig" if encoding != "utf-16" else encoding
    assert read(stream(CSV, written), encoding=encoding) == ROWS


def test_another_encoding_is_read_when_it_is_named():
    assert read(stream("Number,Message\n1,Sê\n", "cp1252"), encoding="cp1252") == [{"Number": "1", "Message": "Sê"}]


@pytest.mark.parametrize("encoding", ["no-such", "hex", "rot13"])
def test_an_encoding_that_is_none_is_a_setting_to_mend(encoding):
    with pytest.raises(ConfigurationError, match="no text encoding"):
        read(stream(CSV), encoding=encoding)


def test_json_lines_keep_their_types_but_for_phone_numbers(file):
    lines = '{"Number": 27821234567, "n": 5, "x": null}\n\n{"Number": "082", "n": 2.5}\r\n{"Number": 27821234567.0}\n'
    expected = [{"Number": "27821234567", "n": 5, "x": None}, {"Number": "082", "n": 2.5}, {"Number": "27821234567"}]
    assert expected == read(file("a.jsonl", lines))


def test_json_lines_are_known_by_their_first_character():
    assert read(stream(' \n{"Number": "1"}\n')) == [{"Number": "1"}]


def test_json_lines_report_bad_lines_in_their_place():
    lines = b'{"Number": "1"}\n{"Number": \n[1]\n{"Number": 2.5}\n{"Number": null}\n{"a": 1}\n"' + b"[" * 5000 + b"\n"
    expected = [
        {"Number": "1"},
        BadRecord(None, Reason.MALFORMED),
        BadRecord(None, Reason.NOT_A_RECORD),
        BadRecord("Number", Reason.RUINED),
        {"Number": None},
        {"a": 1},
        BadRecord(None, Reason.MALFORMED),
    ]
    assert expected == read(stream(lines))


def test_a_json_array_is_named_for_what_it_is(file):
    with pytest.raises(SourceFileError, match="JSON array"):
        read(file("a.json", '[{"Number": "1"}]'))


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [("gz", gzip.compress), ("zst", lambda data: zstandard.ZstdCompressor().compress(data))],
)
def test_compressed_files_are_looked_through(file, suffix, pack):
    assert read(file(f"a.csv.{suffix}", pack(CSV.encode()))) == ROWS
    assert read(file(f"b.tsv.{suffix}", pack(b"Number\n1,2\n"))) == [{"Number": "1,2"}]
    assert read(stream(pack(CSV.encode()) + pack(b"1,two members\n")))[2] == {"Number": "1", "Message": "two members"}


def test_a_large_compressed_file_is_read_in_pieces(file):
    content = "Number\n" + "".join(f"{n}\n" for n in range(200_000))
    for pack in (gzip.compress, zstandard.ZstdCompressor().compress):
        assert len(read(file("a.gz", pack(content.encode())))) == 200_000


def test_standard_input_is_a_dash(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CSV.encode())))
    assert read("-") == ROWS


def test_a_stream_is_left_open_and_read_once():
    source = stream(CSV)
    recipients = open_recipients(source)
    assert list(recipients) == ROWS
    assert recipients.fraction() is None
    with pytest.raises(SourceFileError, match="only once"):
        iter(recipients)
    recipients.close()
    recipients.close()
    assert not source.closed


@pytest.mark.parametrize("source", [io.StringIO(CSV), 5])
def test_a_stream_of_text_is_refused(source):
    with pytest.raises(ConfigurationError, match="binary stream"):
        open_recipients(source)


def test_a_path_can_be_read_again(file):
    with open_recipients(file("a.csv", CSV)) as recipients:
        assert [list(recipients), list(recipients)] == [ROWS, ROWS]


def test_a_closed_file_gives_no_records(file):
    recipients = open_recipients(file("a.csv", CSV))
    recipients.close()
    with pytest.raises(SourceFileError, match="closed"):
        iter(recipients)


def test_a_file_tells_how_much_of_it_has_been_read(file):
    path = file("a.csv", "Number\n" + "27821234567\n" * 50_000)
    with open_recipients(path) as recipients:
        records = iter(recipients)
        before = recipients.fraction()
        for _ in range(25_000):
            next(records)
        half = recipients.fraction()
        assert before < 0.2 < half < 0.8
        assert recipients.length is None
        list(records)
        assert recipients.fraction() == 1.0


def test_an_empty_file_is_read_whole(file):
    with open_recipients(file("a.csv", "")) as recipients:
        assert recipients.fraction() == 1.0


def test_iterating_does_not_run_ahead_of_the_file(file):
    """Memory is flat: a slice is made at a time, not the file."""
    path = file("a.csv", "Number\n" + "27821234567\n" * 300_000)
    with open_recipients(path) as recipients:
        records = iter(recipients)
        next(records)
        assert recipients.fraction() < 0.1


def test_fields_are_known_before_reading(file):
    with open_recipients(file("a.csv", CSV)) as recipients:
        assert recipients.fields == ("Number", "Message")
    assert open_recipients(stream('{"a": 1}\n')).fields is None


# -- columns -----------------------------------------------------------------------------------------------------------


def test_a_mapping_takes_columns_and_fills_templates():
    text = 'cell,first_name,id\n0821234567,Thandi,"7"\n'
    mapping = {"Number": "cell", "Message": "Hi {first_name}, 100% {{yours}}: {id}{first_name}", "Note": "{{}}"}
    expected = [{"Number": "0821234567", "Message": "Hi Thandi, 100% {yours}: 7Thandi", "Note": "{}"}]
    assert expected == read(stream(text), mapping=mapping)


def test_a_column_with_braces_in_its_name_is_a_column():
    assert read(stream("{a}\n1\n"), mapping={"Number": "{a}"}) == [{"Number": "1"}]


def test_a_mapping_over_json_lines_leaves_out_what_is_not_there_and_tells_what_a_template_lacks():
    lines = '{"cell": 82, "n": "T"}\n{"cell": "83"}\n{"n": null}\n'
    mapping = {"Number": "cell", "Message": "Hi {n}", "Fixed": "{{x}}"}
    expected = [
        {"Number": "82", "Message": "Hi T", "Fixed": "{x}"},
        BadRecord("Message", Reason.MISSING),
        {"Message": "Hi ", "Fixed": "{x}"},
    ]
    assert expected == read(stream(lines), mapping=mapping)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("phone", "no column 'phone'; there are: cell, name"),
        ("Hi {nam}", "no column 'nam'"),
        ("Hi {}", "no column ''"),
        ("Hi {name", "braces"),
        ("Hi {name!r}", "plain"),
        ("Hi {name:>5}", "plain"),
    ],
)
def test_a_mapping_that_cannot_be_followed_says_why(value, told):
    with pytest.raises(ConfigurationError, match=told):
        open_recipients(stream("cell,name\n1,2\n"), mapping={"Number": value})


def test_assignments_of_a_command_line_are_a_mapping():
    expected = {"Number": "cell", "Message": "Hi {n}, a=b"}
    assert expected == columns.parse_assignments(["Number=cell", " Message =Hi {n}, a=b"])
    for bad in (["Number"], ["=cell"], ["a=b", "a=c"]):
        with pytest.raises(ConfigurationError):
            columns.parse_assignments(bad)


def test_a_header_can_be_given_for_a_file_without_one():
    assert read(stream("0821234567\n0711234567\n"), header=["Number"])[0] == {"Number": "0821234567"}


# -- bad files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "\n\n", "Number,Message\n", "Number,Message"])
def test_no_records_are_no_error(content, file):
    assert read(file("a.csv", content)) == []


@pytest.mark.parametrize("quote", ["", '"'])
def test_ragged_rows_are_bad_records_in_their_place(quote):
    text = f"Number,Message\n1,{quote}a{quote}\n2\n3,b,c\n\n4,d\n"
    bad = BadRecord(None, Reason.RAGGED)
    assert [{"Number": "1", "Message": "a"}, bad, bad, {"Number": "4", "Message": "d"}] == read(stream(text))


@pytest.mark.parametrize(
    ("header", "told"),
    [("Number,,b", "no name for column 2"), ("Number, ", "column 2"), ("a,b, a", "'a' twice"), ('"a', "quotes")],
)
def test_an_unusable_header_is_told_before_anything_is_read(header, told, file):
    with pytest.raises(SourceFileError, match=told):
        open_recipients(file("a.csv", header + "\n1,2,3\n"), delimiter=",")


def rows_before_error(source, **options):
    records = []
    with pytest.raises(SourceFileError) as caught, open_recipients(source, **options) as recipients:
        records.extend(recipients)
    return len(records), caught.value


def many(count, quote=""):
    return "Number,Message\n" + "".join(f"{n},{quote}text {n}{quote}\n" for n in range(count))


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("count", [0, 10, 20_000])
def test_what_is_not_utf8_is_told_by_row_after_all_rows_before_it(quote, count):
    content = many(count, quote).encode() + b"1,S\xea\n" + many(5).encode()
    read_before, error = rows_before_error(io.BytesIO(content))
    assert (read_before, error.row) == (count, count + 1)
    assert "byte 4 of its line is not UTF-8" in str(error)
    assert "cp1252" in str(error)


def test_a_header_that_is_not_utf8_is_told():
    with pytest.raises(SourceFileError, match="header: byte 2"):
        open_recipients(io.BytesIO(b"n\xea\n1\n"))


def test_what_is_not_in_a_named_encoding_is_told_by_byte():
    content = many(10).encode("utf-16-le") + b"\x00\xd8a\x00" + "\n1,2\n".encode("utf-16-le")
    read_before, error = rows_before_error(io.BytesIO(content), encoding="utf-16-le")
    assert (read_before, error.row) == (10, 11)
    assert f"byte {len(many(10).encode('utf-16-le')) + 1} is not UTF-16-LE" in str(error)


def test_text_cut_inside_a_character_is_told():
    content = many(3).encode("utf-16-le") + b"1"
    assert rows_before_error(io.BytesIO(content), encoding="utf-16-le")[1].row == 4


def test_json_lines_that_are_not_utf8_are_told_by_row():
    assert rows_before_error(io.BytesIO(b'{"a": "1"}\n{"a": "\xea"}\n{"a": "2"}\n'))[1].row == 2


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_truncated_compressed_file_gives_what_it_holds_and_then_says_so(pack, suffix, file):
    text = many(20_000) if suffix == "csv" else "".join(f'{{"Number": "{n * 7919}"}}\n' for n in range(20_000))
    packed = pack(text.encode())
    read_before, error = rows_before_error(file(f"a.{suffix}.gz", packed[: len(packed) // 2]))
    assert "ends early" in str(error)
    assert read_before + 1 == (error.row or 1)  # None: not even the header came out


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_a_damaged_compressed_file_is_told(pack, file):
    packed = bytearray(pack(many(20_000).encode()))
    packed[len(packed) // 2 :] = bytes(len(packed) - len(packed) // 2)
    with pytest.raises(SourceFileError, match=r"damaged|ends early"):
        read(file("a.csv.gz", bytes(packed)))


def test_a_compressed_file_that_is_broken_at_once_is_told(file):
    for magic in (b"\x1f\x8b", b"\x28\xb5\x2f\xfd"):
        for name in ("a.csv", "a.jsonl"):
            with pytest.raises(SourceFileError, match=r"damaged|ends early"):
                read(file(name, magic + b"\0\0\0\0nothing"))


class Endless(io.RawIOBase):
    """A file of one line that never ends, and how much of it was asked for."""

    asked = 0

    def __init__(self, start):
        self._start = start

    def readable(self):
        return True

    def readinto(self, buffer):
        data = (self._start if not self.asked else b"").ljust(len(buffer), b"1")
        buffer[:] = data
        self.asked += len(buffer)
        return len(buffer)


@pytest.mark.parametrize("start", [b"Number\n1\n2\n", b'Number\n1\n"2"\n', b'{"Number": "1"}\n{"Number": "2"}\n'])
def test_a_line_without_an_end_is_stopped_before_it_fills_the_memory(start):
    source = Endless(start)
    read_before, error = rows_before_error(source)
    assert (read_before, error.row) == (2, 3)
    assert "longer than" in str(error)
    assert source.asked < 2 * MAX_LINE


def test_a_header_without_an_end_is_stopped_too():
    with pytest.raises(SourceFileError, match="longer than"):
        open_recipients(Endless(b"Number"))


@pytest.mark.parametrize("size", [10, csv.field_size_limit() + 10])
def test_a_quote_that_is_never_closed_is_an_error_at_its_row(size):
    """Otherwise the rest of the file would silently be a part of one message."""
    text = many(3) + '7,"' + "x" * size + "\n"
    read_before, error = rows_before_error(stream(text))
    assert (read_before, error.row) == (3, 4)
    assert "never closed" in str(error)


def test_a_row_with_broken_quotes_is_a_bad_record():
    text = 'Number,Message\n1,"a"b\n2,"c"\n'
    assert read(stream(text)) == [BadRecord(None, Reason.MALFORMED), {"Number": "2", "Message": "c"}]


def test_many_broken_rows_and_blank_lines_do_not_end_the_file():
    text = 'Number,Message\n1,"a"b\n' * 3 + "\n" * 2000 + 'x,"y"\n'
    assert read(stream(text))[-1] == {"Number": "x", "Message": "y"}


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_nul_makes_its_row_a_bad_record(quote):
    text = f"Number,Message\n1,{quote}a\0b{quote}\n2,c\n"
    assert read(stream(text)) == [BadRecord("Message", Reason.NOT_TEXT), {"Number": "2", "Message": "c"}]


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("number", ["2.78E+10", "2,78e+10", " 2.7821E+10 "])
def test_numbers_that_a_spreadsheet_ruined_are_told_by_row(quote, number):
    text = f"cell;Message\n0821234567;{quote}E+ is fine here{quote}\n{number};x\n"
    expected = [{"Number": "0821234567", "Message": "E+ is fine here"}, BadRecord("Number", Reason.RUINED)]
    assert expected == read(stream(text), mapping={"Number": "cell", "Message": "Message"})


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SourceFileError, match="No such file"):
        open_recipients(tmp_path / "none.csv")
    with pytest.raises(SourceFileError, match="directory"):
        open_recipients(tmp_path)


def test_a_stream_that_fails_is_told():
    class Failing(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, _):
            raise OSError(5, "Input/output error")

    with pytest.raises(SourceFileError, match="Input/output error"):
        open_recipients(Failing())


def test_settings_that_make_no_sense_are_told():
    with pytest.raises(ConfigurationError, match="one character"):
        open_recipients(stream(CSV), delimiter="::")
    with pytest.raises(ConfigurationError, match="csv, jsonl, excel, parquet"):
        open_recipients(stream(CSV), format="xml")


def test_errors_name_no_content(file):
    with pytest.raises(SourceFileError) as caught:
        read(file("a.csv", "Number\n0821234567\n082\xff".encode("latin-1")))
    assert "082" not in str(caught.value).replace("a.csv", "")


@given(st.binary(max_size=400), st.sampled_from([None, "csv", "jsonl"]), st.sampled_from(["\n", "\r\n", ""]))
def test_no_bytes_raise_anything_but_ours(content, form, end):
    for source in (content, b"Number,Message" + end.encode() + content, gzip.compress(content)[:200]):
        try:
            records = read(io.BytesIO(source), format=form)
        except MobizError:
            continue
        assert all(isinstance(record, (dict, BadRecord)) for record in records)


cells = st.text(alphabet="ab1,;\t|\"'\n é\u2028", max_size=6)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=12), st.sampled_from(["\r\n", "\n"]))
def test_what_the_csv_module_writes_is_read_back(rows, ends):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=ends).writerows([("Number", "Message"), *rows])
    expected = [{"Number": number, "Message": message} for number, message in rows]
    assert expected == read(stream(text.getvalue()), delimiter=",")


# -- Excel -------------------------------------------------------------------------------------------------------------


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
        assert (list(recipients), recipients.length) == (expected, 2)


def test_a_number_cell_that_lost_digits_is_ruined_and_others_go_on(workbook):
    path = workbook([["cell", "name"], [2.5, "a"], [82123456789, "b"], [1e17, "c"], [True, "d"]])
    expected = [
        BadRecord("Number", Reason.RUINED),
        {"Number": "82123456789", "Message": "Hi b"},
        BadRecord("Number", Reason.RUINED),
        BadRecord("Number", Reason.NOT_A_NUMBER),
    ]
    assert expected == read(path, mapping={"Number": "cell", "Message": "Hi {name}"})


def test_formulas_count_as_the_value_last_calculated(workbook):
    """A workbook that no spreadsheet has calculated has none: its cells are empty, and the number is missing later."""
    assert read(workbook([["Number", "b"], ["=1+1", "x"]])) == [{"Number": "", "b": "x"}]


def test_sheets_are_chosen_by_name(workbook):
    path = workbook([["Number"], ["1"]], title="May")
    assert read(path, sheet="Other") == []
    with pytest.raises(ConfigurationError, match="there are: May, Other"):
        open_recipients(path, sheet="June")


def test_a_sheet_can_be_empty_or_lack_a_header(workbook):
    assert read(workbook([])) == []
    assert read(workbook([["1", "x"], ["2"]]), header=["Number"]) == [{"Number": "1"}, {"Number": "2"}]
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


def test_parquets_float_phones_are_exact_or_ruined(parquet):
    path = parquet({"Number": [27821234567.0, 2.5, float("nan")]})
    bad = BadRecord("Number", Reason.RUINED)
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
