"""CSV and its kin: comma, semicolon, tab or bar between the cells, quotes as RFC 4180 has them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from mobiz_async.errors import ConfigurationError, Reason
from mobiz_async.recipients.columns import build_from_rows, field_sources
from mobiz_async.recipients.files import BrokenFile, SourceFileError
from mobiz_async.recipients.phones import RUINED
from mobiz_async.recipients.stages import BadRecord
from mobiz_async.recipients.tables import SLICE, Table, TableOptions, checked_header, dropped_columns

__all__ = ["open_delimited"]

DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r"sep=([^\r\n])\r?\n", re.IGNORECASE)
"""What Excel writes before the header where the list separator is not the comma."""
_SNIFFED_ROWS = 20


def open_delimited(name: str, blocks: Iterator[str], options: TableOptions) -> Table:
    """Read the header and return the table.

    Raises:
        SourceFileError: the header cannot be read, or lacks a name or has one twice.
        ConfigurationError: the mapping names a column that is not there.

    """
    try:
        text = next(blocks, "")
    except BrokenFile as error:
        raise SourceFileError(name, str(error), 1) from None
    delimiter = options.delimiter
    if separator := _SEPARATOR_LINE.match(text):
        delimiter = delimiter or separator[1]
        text = text[separator.end() :]
    delimiter = delimiter or _sniff(text)
    if len(delimiter) != 1:
        raise ConfigurationError("a delimiter is one character")
    header = options.header
    if header is None:
        header, text = _read_header(name, text, delimiter)
        if not header:
            return Table((), iter(()))
    reader = _Reader(name, checked_header(name, header), delimiter, options)
    return Table(reader.fields, reader.slices(chain([text], blocks)))


def _sniff(text: str) -> str:
    """Return the delimiter that cuts the first rows into the most equal cells."""
    best, best_score = DELIMITERS[0], (0, 0)
    sample = "".join(islice(io.StringIO(text, newline=""), _SNIFFED_ROWS))
    for delimiter in DELIMITERS:
        try:
            rows = [row for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if row]
        except csv.Error:
            continue
        width = len(rows[0]) if rows else 1
        score = (sum(len(row) == width for row in rows), width) if width > 1 else (0, 0)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _read_header(name: str, text: str, delimiter: str) -> tuple[tuple[str, ...], str]:
    """Return the first row that is not blank, and the text after it."""
    lines = io.StringIO(text, newline="")
    try:
        header = next(filter(None, csv.reader(lines, delimiter=delimiter, strict=True)), [])
    except csv.Error:
        raise SourceFileError(name, "its header cannot be read: the quotes do not pair") from None
    return tuple(header), text[lines.tell() :]


class _Reader:
    def __init__(self, name: str, header: tuple[str, ...], delimiter: str, options: TableOptions) -> None:
        sources = field_sources(options.mapping, header, dropped_columns(header))
        self.fields = tuple(source.field for source in sources)
        self._name = name
        self._header = header
        self._delimiter = delimiter
        self._build = build_from_rows(header, sources)
        self._phones = [
            (header.index(source.columns[0]), source.field)
            for source in sources
            if source.template is None and source.field in options.phone_fields
        ]
        self._row = 0
        self._suspicious = False

    def slices(self, blocks: Iterator[str]) -> Iterator[list[Any]]:
        """Yield slices of records; the rows of a fault are told right because all before it were counted."""
        try:
            for block in blocks:
                # Without quotes a row is a line and a cell is what stands between delimiters. From the first quote on
                # only a parser knows where rows end.
                lines = None if '"' in block else _lines(block)
                if lines is None:
                    yield from self._parsed(chain([block], blocks))
                    return
                self._suspect(block)
                for start in range(0, len(lines), SLICE):
                    yield self._made([line.split(self._delimiter) for line in lines[start : start + SLICE]])
        except BrokenFile as error:
            raise SourceFileError(self._name, str(error), self._row + 1) from None

    def _parsed(self, blocks: Iterator[str]) -> Iterator[list[Any]]:
        lines = chain.from_iterable(map(self._suspect, blocks))
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        fault: Exception | None = None
        while fault is None:
            rows: list[list[str]] = []
            malformed = False
            try:
                # extend() keeps the rows that came before an exception; list(islice()) would lose them.
                rows.extend(islice(reader, SLICE))
                if not rows:
                    return
            except BrokenFile as error:
                fault = error
            except csv.Error as error:
                fault = _fatal(str(error))
                malformed = fault is None
            made = self._made(rows)
            if malformed:
                made.append(BadRecord(None, Reason.MALFORMED))
                self._row += 1
            yield made
        raise fault

    def _suspect(self, block: str) -> Iterator[str]:
        """Return the lines of ``block``; from the first one on that may hold a ruined number, rows are looked at."""
        self._suspicious = self._suspicious or "\0" in block or "E+" in block or "e+" in block
        return io.StringIO(block, newline="")

    def _made(self, rows: list[list[str]]) -> list[Any]:
        made: list[Any] | None = None
        if not self._suspicious:
            try:
                made = self._build(rows)
            except ValueError:  # some row is blank or ragged
                made = None
        if made is None:
            made = [self._one(row) for row in rows if row]
        self._row += len(made)
        return made

    def _one(self, row: list[str]) -> dict[str, Any] | BadRecord:
        if len(row) != len(self._header):
            return BadRecord(None, Reason.RAGGED)
        for place, cell in enumerate(row):
            if "\0" in cell:
                return BadRecord(self._header[place], Reason.NOT_TEXT)
        for place, field in self._phones:
            if RUINED.fullmatch(row[place].strip()):
                return BadRecord(field, Reason.RUINED)
        return self._build([row])[0]


def _lines(block: str) -> list[str] | None:
    """Return the lines of a block without blank ones, None where a lone carriage return leaves them to a parser."""
    if "\r" in block:
        block = block.replace("\r\n", "\n")
        if "\r" in block:
            return None
    return list(filter(None, block.split("\n")))


def _fatal(message: str) -> BrokenFile | None:
    """Return the fault where the parser cannot find the next row, None where it can."""
    if "end of data" in message:
        return BrokenFile("a quote is opened and never closed")
    if "field limit" in message:
        return BrokenFile(f"a cell is longer than {csv.field_size_limit():,} characters; is a quote never closed?")
    return None
