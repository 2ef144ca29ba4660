"""A file that is small and unpacks to no end costs neither memory nor somebody else's turn."""

import io
import time
import tracemalloc

import pytest
import zstandard
from source_files import read, rows_before_error

from mobiz_async.recipients.files import BLOCK, MAX_BLANK, MAX_LINE, SourceFileError, open_binary
from mobiz_async.recipients.sources import open_recipients

MB = 1 << 20
HEAD = b"Number,Message\n0821234567,Hi\n"


class Endless(io.RawIOBase):
    """``head``, and then ``more`` for ever; ``given`` says how much was read of it."""

    def __init__(self, head, more):
        self._head, self._more = head, more * (BLOCK // len(more))
        self.given = 0

    def readable(self):
        return True

    def read(self, size=-1):
        block, self._head = self._head or self._more, b""
        self.given += len(block)
        return block


@pytest.mark.parametrize("more", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_blank_lines_come_to_an_end(more, format):  # noqa: A002  the word of the library
    head = HEAD if format == "csv" else b'{"Number":"0821234567"}\n'
    source = Endless(head, more)
    rows, error = rows_before_error(source, format=format)
    assert (rows, error.row) == (1, 2)
    assert "4,194,304 bytes of blank lines" in str(error)
    assert source.given < MAX_BLANK + 4 * BLOCK


def test_a_megabyte_of_blank_lines_is_passed_over():
    assert len(read(io.BytesIO(HEAD + b"\n" * MB + b"0831234567,Ho\n"))) == 2


@pytest.mark.parametrize("more", [b'"\n",', b'"a\nb",x,', b'"' + b"a\n" * 100 + b'",'], ids=len)
def test_a_row_within_quotes_is_as_long_as_a_line_may_be(more):
    source = Endless(HEAD + b'"",', more)
    rows, error = rows_before_error(source)
    assert (rows, error.row) == (1, 2)
    assert "a row is longer than 1,048,576 bytes" in str(error)
    assert source.given < MAX_LINE + 5 * BLOCK


def test_the_rows_before_one_that_is_too_long_are_handed_over():
    good = b'0821234567,"a ""quoted"" Hi"\n' * 10_000
    rows, error = rows_before_error(Endless(HEAD + good, b'"\n",'))
    assert (rows, error.row) == (10_001, 10_002)


def test_long_rows_are_read_a_few_at_a_time():
    row = b'0821234567,"' + b"a" * 100_000 + b'"\n'
    with open_recipients(io.BytesIO(HEAD + row * 300)) as recipients:
        sizes = list(map(len, recipients._table.slices))
    assert sum(sizes) == 301
    assert max(sizes) < 32


def test_rows_that_are_long_of_a_sudden_are_bounded_together(monkeypatch):
    monkeypatch.setattr("mobiz_async.recipients.delimited._MOST_AT_ONCE", 2 * MB)
    source = Endless(HEAD + b'0821234567,"Hi"\n' * 1000, b"," * (BLOCK - 1) + b"\n")
    rows, error = rows_before_error(source)
    assert rows > 1000
    assert "rows are longer than 2,097,152 bytes" in str(error)
    assert source.given < 3 * MB


def test_what_zstd_makes_of_a_little_comes_in_blocks_of_the_usual_size():
    packed = zstandard.ZstdCompressor().compress(HEAD + b"0831234567,Ho\n" + b"a" * (256 * MB))
    tracemalloc.start()
    try:
        rows, error = rows_before_error(io.BytesIO(packed))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 2
    assert "longer than 1,048,576 bytes" in str(error)
    assert peak < 100 * MB


@pytest.mark.parametrize("frames", [1, 3])
def test_what_zstd_had_packed_is_the_same_in_pieces(frames):
    text = b"".join(b"%d,some text of row %d\n" % (row, row * 7919) for row in range(50_000))
    cut = len(text) // frames + 1
    parts = [text[start : start + cut] for start in range(0, len(text), cut)]
    file = open_binary(io.BytesIO(b"".join(map(zstandard.ZstdCompressor().compress, parts))))
    blocks = list(iter(lambda: file.read(BLOCK), b""))
    assert b"".join(blocks) == text
    assert max(map(len, blocks)) <= BLOCK


def test_a_header_of_many_columns_is_looked_through_once():
    letters = str.maketrans("0123456789", "abcdefghij")
    header = ",".join(f"x{place}".translate(letters) for place in range(30_000)).encode()
    began = time.thread_time()
    with pytest.raises(SourceFileError, match="its header names column 'xh' twice"):
        read(io.BytesIO(header + b",xh\n"))
    assert time.thread_time() - began < 2.0  # it took half a minute
