"""What a file is, and what its header is, depends on its bytes alone: not on the pieces in which a pipe gives them."""

import gzip
import io
import os

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from source_files import CSV, ROWS, read

from mobiz_async.recipients.dedupe import load_suppression
from mobiz_async.recipients.files import MAX_LINE
from mobiz_async.recipients.sources import SourceFileError, open_recipients


class Pipe(io.RawIOBase):
    """A stream that gives ``parts`` one at a time."""

    def __init__(self, *parts):
        self._parts = [part for part in parts if part]

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self._parts:
            return 0
        part = self._parts.pop(0)
        if len(part) > len(buffer):
            self._parts.insert(0, part[len(buffer) :])
        given = part[: len(buffer)]
        buffer[: len(given)] = given
        return len(given)


class Buffered(io.BufferedReader):
    """The same, as standard input is."""

    def __init__(self, *parts):
        super().__init__(Pipe(*parts))


pipes = pytest.mark.parametrize("pipe", [Pipe, Buffered])


@pipes
@pytest.mark.parametrize(
    "parts",
    [
        (b"\n", b"\r\n", b"Number;M\n1;a,b\n"),
        (b"sep=;\n", b"Number;M\n1;a,b\n"),
        (b"sep=", b";\r", b"\nNumber;M\r\n1;a,b\r\n"),
        (b"sep=;\n", b"\n\n", b"Number;M\n1;a,b\n"),
        (b"\n" * 5_000 + b"sep=;\n" + b"\n" * 100_000 + b"Number;M\n1;a,b\n",),
        (b"sep=;\rNumber;M\r1;a,b\r",),
        (b"\xef\xbb\xbf", b"\n", b"Number;M\n1;a,b\n"),
        (b"\xff", b"\xfe", "Number;M\n1;a,b\n".encode("utf-16-le")),
        (b"N", b'umber;"M"', b"\n1", b";a,b"),
    ],
)
def test_a_table_begins_where_it_begins(pipe, parts):
    assert read(pipe(*parts)) == [{"Number": "1", "M": "a,b"}]


@pipes
def test_a_header_over_many_lines_and_blocks_is_one(pipe):
    assert read(pipe(b'Number,"Mess', b"age\n", b'\nfor them"', b"\n1,a\n")) == [
        {"Number": "1", "Message\n\nfor them": "a"}
    ]


@pipes
@pytest.mark.parametrize(
    "parts",
    [
        (b"\xef\xbb\xbf", b'{"Number": "1"}\n'),
        (b"\n", b"{", b'"Number": "1"}\n'),
        (b"\n" * 70_000, b'{"Number": "1"}\n'),
        (b"\xff", b'\xfe{\0"\0', "\0".join('Number": "1"}\n').encode() + b"\0"),
        (gzip.compress(b"\xef\xbb\xbf"), gzip.compress(b"\n"), gzip.compress(b'{"Number": "1"}\n')),
        tuple(zstandard.ZstdCompressor().compress(part) for part in (b"\n", b"{", b'"Number": "1"}\n')),
        tuple(bytes([byte]) for byte in gzip.compress(b'{"Number": "1"}\n')),
    ],
)
def test_json_lines_are_known_in_whatever_pieces_they_come(pipe, parts):
    assert read(pipe(*parts)) == [{"Number": "1"}]


@pipes
@pytest.mark.parametrize("head", [b"[", b" \n[\n "])
def test_a_json_array_is_refused_in_whatever_pieces_it_comes(pipe, head):
    with pytest.raises(SourceFileError, match="it is a JSON array"):
        open_recipients(pipe(b"\n", head, b'{"Number": "1"}]'))


TABLES = [
    CSV.encode(),
    b"\n\n" + CSV.replace(",", ";").encode(),
    b"sep=;\r\n\r\n" + CSV.replace("\n", "\r\n").replace(",", ";").encode(),
    CSV.encode("utf-16"),
    gzip.compress(CSV.encode()),
    b'\xef\xbb\xbf\n{"Number": "0821234567", "Message": "Hi, Thandi"}\r\n\n{"Number": "0711234567"}',
    # The delimiter shows in the third row alone.
    b"Name, first;Number\n" + b"Botha, Jan;1\n" * 30 + b"x;2\n",
    b'"a\nb",c\n1,"x\ny"z\n' + b'1,"x\ny"z,\n' * 3 + b"d,e\n",
    b'{"a": 1} {"a": 2}\n{"a":\n3}\n{"a": 4}\noops\n\n{"a": "\\ud83d"}\n[{"b": 1}\n]\n',
]


def told(source, **options):
    """Return records and what is kept of bad ones, and the error at the end."""
    found = []
    try:
        with open_recipients(source, **options) as recipients:
            found += [(record, getattr(record, "cells", None)) for record in recipients]
    except SourceFileError as error:
        found.append(str(error))
    return found


@given(st.sampled_from(TABLES), st.lists(st.integers(1, 80), min_size=1, max_size=6))
def test_records_do_not_depend_on_the_pieces_that_they_come_in(content, sizes):
    parts = []
    start = 0
    while start < len(content):
        size = sizes[len(parts) % len(sizes)]
        parts.append(content[start : start + size])
        start += size
    assert told(Pipe(content)) == told(Pipe(*parts)) != []


def test_blank_lines_without_an_end_are_no_format():
    source = Pipe(*[b"\n" * (MAX_LINE // 4)] * 6, b"Number\n1\n")
    assert read(source) == [{"Number": "1"}]


def test_a_file_of_blank_lines_is_an_empty_table():
    for content in (b"\n" * 100_000, b"sep=;\n\n\n", b"sep=;\n", b"\xef\xbb\xbf"):
        assert read(Pipe(content)) == []


def test_a_quote_that_a_header_never_closes_is_told():
    with pytest.raises(SourceFileError, match="header: the quotes do not pair"):
        open_recipients(Pipe(b'Number,"M\n', *[b"1,a\n"] * 20_000))


def test_a_given_delimiter_is_not_looked_for():
    """So the header of a slow pipe is there as soon as it has come."""
    source = Pipe(b"Number;M\n", b"1;a\n", b"2;b\n")
    with open_recipients(source, delimiter=";") as recipients:
        assert recipients.fields == ("Number", "M")
        assert source.read() == b"1;a\n2;b\n"


def test_what_is_wrong_in_the_first_rows_is_told_at_its_row():
    packed = gzip.compress(CSV.encode())
    with open_recipients(io.BytesIO(packed[:-4])) as recipients:
        records = iter(recipients)
        assert [next(records), next(records)] == ROWS
        with pytest.raises(SourceFileError, match="record 3: the compressed file ends early"):
            next(records)


def test_opt_outs_that_begin_with_blank_lines_are_all_there(file):
    assert load_suppression(file("a.csv", "\n" * 9_000 + "0821234567\n")) == {"27821234567"}
    assert load_suppression(file("b.csv", "sep=;\n" + "\n" * 9_000 + "0821234567\n")) == {"27821234567"}


def test_a_stream_that_does_not_wait_is_no_file_that_has_ended():
    class NotYet(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, _):
            return None

    with pytest.raises(SourceFileError, match="does not wait"):
        open_recipients(NotYet())


def test_a_stream_needs_no_more_than_read():
    class Bare:
        def __init__(self):
            self.read = io.BytesIO(CSV.encode()).read

    assert read(Bare()) == ROWS


def test_a_pipe_with_a_path_is_a_stream(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)  # which waits for nobody
    os.write(writer, CSV.encode())
    with open_recipients(path, delimiter=",") as recipients:
        os.close(writer)
        assert recipients.fraction() is None
        assert list(recipients) == ROWS
        with pytest.raises(SourceFileError, match="only once"):
            iter(recipients)
