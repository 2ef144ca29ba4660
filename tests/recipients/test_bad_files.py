"""Every way in which a file of recipients can be bad: a clear error at its row, or a record counted as bad."""

import bz2
import csv
import gzip
import io
import lzma

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from source_files import CSV, many, read, rows_before_error, stream

from mobiz_async.errors import ConfigurationError, MobizError, Reason
from mobiz_async.recipients.files import MAX_LINE
from mobiz_async.recipients.sources import SourceFileError, open_recipients
from mobiz_async.recipients.stages import BadRecord


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


@pytest.mark.parametrize("before", ["", '1,"a"\n'])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("length", [csv.field_size_limit(), csv.field_size_limit() + 1])
def test_how_long_a_cell_may_be_does_not_depend_on_what_comes_before_it(length, quote, before):
    row = f"2,{quote}{'x' * length}{quote}"
    long = {"Number": "2", "Message": "x" * length}
    found = read(stream(f"Number,Message\n{before}{row}\n3,b\n"))[before.count("\n") :]
    expected = long if length == csv.field_size_limit() else BadRecord(None, Reason.MALFORMED)
    assert found == [expected, {"Number": "3", "Message": "b"}]
    assert found[0] is expected or getattr(found[0], "cells", {"_raw": row})["_raw"] == row


def test_a_row_with_broken_quotes_is_a_bad_record():
    text = 'Number,Message\n1,"a"b\n2,"c"\n'
    assert read(stream(text)) == [BadRecord(None, Reason.MALFORMED), {"Number": "2", "Message": "c"}]


def test_many_broken_rows_and_blank_lines_do_not_end_the_file():
    text = 'Number,Message\n1,"a"b\n' * 3 + "\n" * 2000 + 'x,"y"\n'
    assert read(stream(text))[-1] == {"Number": "x", "Message": "y"}


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("error", ["#N/A", " #REF! ", "#NAME?", "#DIV/0!", "#CALC!", "#SPILL!"])
def test_an_error_that_a_spreadsheet_wrote_into_a_csv_file_goes_to_nobody(error, quote):
    """A text would greet people as #N/A; in a column that nobody asked for it does not matter."""
    text = f"cell,name,note\n082,Thandi {error},#1\n083,{quote}{error}{quote},a\n084,Sipho,{error}\n{error},Anna,b\n"
    found = read(stream(text), mapping={"Number": "cell", "Message": "Hi {name}"})
    assert found == [
        {"Number": "082", "Message": f"Hi Thandi {error}"},
        BadRecord("Message", Reason.NO_VALUE),
        {"Number": "084", "Message": "Hi Sipho"},
        BadRecord("Number", Reason.NO_VALUE),
    ]
    assert found[1].cells == {"Number": "083", "Message": f"Hi {error}", "_raw": f"083,{error},a"}


def test_an_error_is_held_back_until_its_row_of_the_rejects_is_mended():
    head = "_row,_reason,_field,Number,Message,_raw\n"
    (unmended,) = read(stream(f'{head}2,{Reason.NO_VALUE.value.replace(",", "")},Message,083,Hi #N/A,"083,#N/A"\n'))
    assert isinstance(unmended, BadRecord)
    assert read(stream(f"{head}2,x,Message,083,Hi Sipho,\n")) == [{"Number": "083", "Message": "Hi Sipho"}]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_told_by_its_header(encoding):
    with pytest.raises(SourceFileError, match="NUL characters; if the file is in UTF-16, name it: utf-16-le"):
        read(stream("Number,Message\n082,Hi\n", encoding))


@pytest.mark.parametrize("asked", ["cp1252", "latin-1", "utf-16-be"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_says_more_than_the_encoding_that_was_asked_for(encoding, asked):
    """A name would go out as ZoÃ«."""
    assert read(stream("id,Number,Name\n1,082,Zoë\n", encoding), encoding=asked) == [
        {"id": "1", "Number": "082", "Name": "Zoë"}
    ]


@pytest.mark.parametrize(("pack", "name"), [(bz2.compress, "bzip2"), (lzma.compress, "xz")])
def test_what_is_packed_in_another_way_is_told(pack, name):
    with pytest.raises(SourceFileError, match=f"packed by {name}; unpack it first, or pack it by gzip or zstd"):
        read(stream(pack(b"Number\n082\n")))


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


PACKED = gzip.compress(many(20_000).encode(), mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "a.csv",
            "Number,Message\n0821234567,S\u00ea\n".encode("cp1252"),
            "record 1: byte 13 of its line is not UTF-8",
        ),
        ("a.csv", "N\u00famero,Naam\n0821234567,x\n".encode("cp1252"), "header: byte 2 of its line is not UTF-8"),
        ("a.jsonl", '{"Number": "S\u00ea"}\n'.encode("cp1252"), "record 1: byte 14 of its line is not UTF-8"),
        ("a.csv", many(3).encode("utf-16") + b"0", "record 4: byte 87 is not UTF-16-LE"),
        ("a.csv", b'Number,Message\n1,x\n0821234567,"Hi\n', "record 2: a quote is opened and never closed"),
        ("a.csv", b'Number,"Message\n0821234567,Hi\n', "header: the quotes do not pair"),
        ("a.csv.gz", PACKED[:12], "header: the compressed file ends early"),
        ("a.csv.gz", PACKED[:-4], "record 20,001: the compressed file ends early"),
        ("a.csv.gz", PACKED[:-8] + b"\0" * 8, "record 20,001: the compressed data is damaged"),
    ],
)
def test_an_error_says_where_and_why_in_words_of_its_own(name, content, told, file):
    path = file(name, content)
    with pytest.raises(SourceFileError) as caught:
        read(path)
    assert told in str(caught.value)
    error = caught.value
    while error is not None:  # nor does what it came from hold a part of the file
        assert "082" not in f"{error.args}".replace(str(path), "")
        error = error.__context__


def test_an_encoding_whose_order_of_bytes_is_not_known_is_told():
    with pytest.raises(SourceFileError, match="header: it is not UTF-16, or has no byte order mark"):
        read(io.BytesIO(b"Number\n0821234567\n"), encoding="utf-16")


@given(st.binary(max_size=400), st.sampled_from([None, "csv", "jsonl"]), st.sampled_from(["\n", "\r\n", ""]))
def test_no_bytes_raise_anything_but_ours(content, form, end):
    for source in (content, b"Number,Message" + end.encode() + content, gzip.compress(content, mtime=0)[:200]):
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
