"""Files of recipients: every format and spelling of them, and how columns become fields."""

import gzip
import io
import sys

import pytest
import zstandard
from source_files import CSV, ROWS, read, stream

from mobiz_async.errors import ConfigurationError, Reason
from mobiz_async.recipients import columns
from mobiz_async.recipients.sources import SourceFileError, open_recipients
from mobiz_async.recipients.stages import BadRecord


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


@pytest.mark.parametrize("encoding", ["no-such", "hex", "rot13", "uu", "undefined"])
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
        BadRecord("Number", Reason.NOT_A_NUMBER),
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


def test_of_a_file_without_a_size_nobody_knows_how_much_has_been_read(file):
    """Such as those of /proc, which are made up as they are read, and look empty."""
    with open_recipients(file("a.csv", "")) as recipients:
        assert recipients.fraction() is None


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


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("a.csv", {"sheet": "June"}, "sheet is for files of excel, and this one is read as csv"),
        ("a.jsonl", {"header": ["Number"]}, "header is for files of csv or excel, and this one is read as jsonl"),
        ("a.jsonl", {"delimiter": ";"}, "delimiter is for files of csv, and this one is read as jsonl"),
    ],
)
def test_what_the_format_has_no_use_for_is_refused(name, options, said, file):
    with pytest.raises(ConfigurationError) as caught:
        open_recipients(file(name, '{"Number": "0821234567"}\n'), **options)

    assert str(caught.value) == said
