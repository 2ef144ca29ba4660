"""CSV and its kin: comma, semicolon, tab or bar between the cells, quotes as RFC 4180 has them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from mobiz_async.errors import ConfigurationError, Reason
from mobiz_async.recipients.columns import build_from_rows, field_sources
from mobiz_async.recipients.files import BLOCK, MAX_LINE, BrokenFile, SourceFileError, not_utf8
from mobiz_async.recipients.phones import RUINED
from mobiz_async.recipients.stages import LARGEST_SLICE, BadRecord
from mobiz_async.recipients.tables import (
    RAW_COLUMN,
    Table,
    TableOptions,
    checked_header,
    dropped_columns,
    line_of,
    may_be_ruined,
    raw_column,
    unmended,
)

__all__ = ["open_delimited"]

DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(rb"sep=([\x01-\x09\x20-\x7e])(?:\r\n?|\n)", re.IGNORECASE)
"""What Excel writes before the header where the list separator is not the comma."""
_SNIFFED_ROWS = 20
_MOST_AT_ONCE = 1 << 26
"""Bytes of rows that are parsed together: twice those of a slice of rows with one cell each as long as it may be."""
_ERROR = r"#(?:N/A|REF!|VALUE!|DIV/0!|NAME\?|NUM!|NULL!|CALC!|SPILL!)"
"""What a spreadsheet writes for a cell without a value."""
_is_error = re.compile(_ERROR).fullmatch
_has_error = re.compile(_ERROR.encode()).search
_LINE_END = re.compile(r"\r\n?|\n")


def open_delimited(name: str, blocks: Iterator[bytes], options: TableOptions) -> Table:
    """Read the header and return the table.

    Raises:
        SourceFileError: the header cannot be read, or lacks a name or has one twice.
        ConfigurationError: the mapping names a column that is not there.

    """
    beginning = _Beginning(blocks)
    fault: BrokenFile | None = None
    try:
        header, delimiter = beginning.read(options)
    except UnicodeDecodeError as error:
        fault = not_utf8(error)
    except BrokenFile as error:
        fault = error
    if fault is not None:  # raised out here, so that the first error, which holds the line, is not its context
        raise SourceFileError(name, f"header: {fault}")
    if not header:
        return Table((), iter(()))
    reader = _Reader(name, checked_header(name, header), delimiter, options)
    return Table(reader.fields, reader.slices(beginning.rest()))


class _Beginning:
    """The first rows of a file, in however small blocks they come: what they say depends on the file alone."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._text = b""
        """What was taken of ``blocks`` and is no header: whole lines, without blank ones before them."""
        self._fault: BrokenFile | None = None

    def read(self, options: TableOptions) -> tuple[tuple[str, ...], str]:
        """Return the header, empty where the file is, and the delimiter."""
        self._fill(0)
        delimiter = options.delimiter
        if separator := _SEPARATOR_LINE.match(self._text):
            delimiter = delimiter or separator[1].decode()
            self._text = self._text[separator.end() :].lstrip(b"\r\n")
            self._fill(0)
        if delimiter is None:
            self._fill(_SNIFFED_ROWS)
            delimiter = _sniff(self._text)
        if len(delimiter) != 1:
            raise ConfigurationError("a delimiter is one character")
        return options.header or self._header(delimiter), delimiter

    def _fill(self, lines: int) -> None:
        """Take what is not blank, and as many lines if there are; bounded, as no line need ever end."""
        while (not self._text or (self._text.count(b"\n") < lines and len(self._text) < BLOCK)) and self._more():
            pass

    def rest(self) -> Iterator[bytes]:
        """Yield the blocks after the header."""
        yield self._text
        if self._fault is not None:
            raise self._fault
        yield from self._blocks

    def _more(self) -> bool:
        """Take one more block; return False where there is none, for whatever reason."""
        try:
            block = next(self._blocks, b"") if self._fault is None else b""
        except BrokenFile as fault:
            self._fault, block = fault, b""
        self._text = (self._text + block).lstrip(b"\r\n")
        return bool(block)

    def _header(self, delimiter: str) -> tuple[str, ...]:
        """Take the first row, which in quotes may go on over many lines."""
        while True:
            lines = self._text.splitlines(keepends=True)
            reader = csv.reader(map(bytes.decode, lines), delimiter=delimiter, strict=True)
            try:
                header = next(reader, [])
            except csv.Error as error:
                if "end of data" in str(error) and self._up_to_a_quote():
                    continue
                raise self._fault or BrokenFile("the quotes do not pair") from None
            if not header and self._fault is not None:
                raise self._fault
            self._text = b"".join(lines[reader.line_num :])
            return tuple(header)

    def _up_to_a_quote(self) -> bool:
        """Take blocks until one has a quote, which may close the one that is open."""
        while (taken := len(self._text)) <= BLOCK and self._more():
            if b'"' in self._text[taken:]:
                return True
        return False


def _sniff(text: bytes) -> str:
    """Return the delimiter that cuts the first rows into the most equal cells."""
    best, best_score = DELIMITERS[0], (0, 0)
    lines = text[:BLOCK].splitlines(keepends=True)
    if len(text) > BLOCK and len(lines) > 1 and not lines[-1].endswith((b"\n", b"\r")):
        del lines[-1]  # it is cut
    sample = [line.decode(errors="replace") for line in lines[:_SNIFFED_ROWS]]
    for delimiter in DELIMITERS:
        try:
            rows = list(filter(None, csv.reader(sample, delimiter=delimiter)))
        except csv.Error:
            continue
        width = len(rows[0]) if rows else 1
        score = (sum(len(row) == width for row in rows), width) if width > 1 else (0, 0)
        if score > best_score:
            best, best_score = delimiter, score
    return best


class _Reader:
    def __init__(self, name: str, header: tuple[str, ...], delimiter: str, options: TableOptions) -> None:
        sources = field_sources(options.mapping, header, dropped_columns(header))
        self.fields = tuple(source.field for source in sources)
        self._name = name
        self._header = header
        self._delimiter = delimiter
        self._sources = sources
        self._build = build_from_rows(header, sources)
        self._phones = [
            (header.index(source.columns[0]), source.field)
            for source in sources
            if source.template is None and source.field in options.phone_fields
        ]
        self._used = {header.index(column): source.field for source in reversed(sources) for column in source.columns}
        self._row = 0
        self._lines: list[bytes] = []
        """The lines that the parser has been given, from those of this slice on."""
        self._lines_before = 0
        """How many it was given before them."""
        self._read_now: list[list[str]] = []
        """The rows of this slice, as far as they were parsed."""
        self._raw_at = raw_column(header)
        self._suspicious = self._raw_at is not None
        """Whether each row is to be looked at, for a NUL, an error, or for what a file of rejects says of it."""

    def slices(self, blocks: Iterator[bytes]) -> Iterator[list[Any]]:
        """Yield slices of records; the row of a fault is told right because all before it were counted."""
        try:
            for block in blocks:
                # Without quotes a row is a line and a cell is what stands between delimiters. From the first quote on
                # only a parser knows where rows end.
                if b'"' in block:
                    yield from self._parsed(chain([block], blocks))
                    return
                self._suspect(block)
                lines = list(filter(None, block.splitlines()))
                if len(block) > csv.field_size_limit() and max(map(len, lines)) > csv.field_size_limit():
                    yield from self._parsed(chain([block], blocks))  # which knows how long a cell may be
                    return
                for start in range(0, len(lines), LARGEST_SLICE):
                    yield from self._read(self._split(lines[start : start + LARGEST_SLICE]))
        except BrokenFile as error:
            raise SourceFileError(self._name, str(error), self._row + 1) from None

    def _split(self, lines: list[bytes]) -> Iterable[list[str]]:
        delimiter = self._delimiter
        try:
            return [line.decode().split(delimiter) for line in lines]
        except UnicodeDecodeError:
            return (line.decode().split(delimiter) for line in lines)  # as far as it goes

    def _parsed(self, blocks: Iterator[bytes]) -> Iterator[list[Any]]:
        lines = map(bytes.decode, chain.from_iterable(self._suspected_lines(blocks)))
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        count = 1
        while True:
            before = self._row
            yield from self._read(islice(reader, count), reader)
            if self._row == before and reader.line_num == self._lines_before:
                return
            # Rows may be long; how many are taken at once goes by those before.
            long = sum(map(len, self._lines)) > MAX_LINE
            count = max(count // 2, 1) if long else min(count * 2, LARGEST_SLICE)
            del self._lines[: reader.line_num - self._lines_before]
            self._lines_before = reader.line_num

    def _read(self, rows: Iterable[list[str]], reader: Any = None) -> Iterator[list[Any]]:
        """Yield the records of ``rows`` and, where one cannot be read, those before it first.

        ``reader`` is the parser that they come from.
        """
        read = self._read_now = []
        fault: BrokenFile | None = None
        raw: str | None = None
        try:
            # extend() keeps the rows that came before an exception; list() would lose them.
            read.extend(rows)
        except BrokenFile as error:
            fault = error
        except UnicodeDecodeError as error:
            fault = not_utf8(error)
        except csv.Error as error:
            raw = self._lines_after(read, reader.line_num)
            fault = _fatal(str(error), raw)
        made = self._made(read)
        if raw is not None and fault is None:
            made.append(BadRecord(None, Reason.MALFORMED, {RAW_COLUMN: raw}))
            self._row += 1
        yield made
        if fault is not None:
            raise fault

    def _lines_after(self, read: list[list[str]], last: int) -> str:
        """Return the lines up to number ``last`` that come after the rows read of this slice."""
        taken = sum(1 + sum(len(_LINE_END.findall(cell)) for cell in row) for row in read)
        return b"".join(self._lines[taken : last - self._lines_before]).decode().rstrip("\r\n")

    def _suspected_lines(self, blocks: Iterator[bytes]) -> Iterator[list[bytes]]:
        seen = (-1, 0)
        of_row = of_slice = 0
        for block in blocks:
            self._suspect(block)
            now = (self._lines_before, len(self._read_now))
            of_slice = of_slice if now[0] == seen[0] else 0
            of_row = of_row if now == seen else 0
            seen = now
            if of_row > MAX_LINE:
                raise BrokenFile(f"a row is longer than {MAX_LINE:,} bytes; is a quote never closed?")
            if of_slice > _MOST_AT_ONCE:
                raise BrokenFile(f"{len(self._read_now) + 1:,} rows are longer than {_MOST_AT_ONCE:,} bytes")
            of_row += len(block)
            of_slice += len(block)
            lines = block.splitlines(keepends=True)
            self._lines += lines
            yield lines

    def _suspect(self, block: bytes) -> None:
        """From the first block on that holds a NUL or an error, look at each row."""
        self._suspicious = self._suspicious or b"\0" in block or (b"#" in block and _has_error(block) is not None)

    def _made(self, rows: list[list[str]]) -> list[Any]:
        made: list[Any] | None = None
        if not self._suspicious:
            try:
                made = self._build(rows)
            except ValueError:  # some row is blank or ragged
                made = None
        if made is not None and self._may_be_ruined(made):
            made = None
        if made is None:
            made = [self._one(row) for row in rows if row]
        self._row += len(made)
        return made

    def _may_be_ruined(self, made: list[dict[str, str]]) -> bool:
        for _, field in self._phones:
            column = "\n".join([record[field] for record in made])
            if may_be_ruined(column):
                return True
        return False

    def _one(self, row: list[str]) -> dict[str, Any] | BadRecord:
        if len(row) != len(self._header):
            return BadRecord(None, Reason.RAGGED, self._with_raw(self._as_far_as_it_goes(row), row))
        record = self._build([row])[0]
        if self._raw_at is not None and row[self._raw_at].strip():
            return unmended(record, row[self._raw_at], row[self._header.index("_reason")])
        for place, cell in enumerate(row):
            if "\0" in cell:
                return BadRecord(self._header[place], Reason.NOT_TEXT, record)
        for place, field in self._used.items():
            if _is_error(row[place].strip()):
                return BadRecord(field, Reason.NO_VALUE, self._with_raw(record, row))
        for place, field in self._phones:
            if RUINED.fullmatch(row[place].strip()):
                return BadRecord(field, Reason.RUINED, record)
        return record

    def _with_raw(self, record: dict[str, Any], row: list[str]) -> dict[str, Any]:
        return {**record, RAW_COLUMN: line_of(row, self._delimiter)}

    def _as_far_as_it_goes(self, row: list[str]) -> dict[str, Any]:
        """Return the fields of which all cells are there."""
        there = self._header[: len(row)]
        sources = [source for source in self._sources if set(source.columns) <= set(there)]
        return build_from_rows(there, sources)([row[: len(there)]])[0]


def _fatal(message: str, raw: str) -> BrokenFile | None:
    """Return the fault where the parser cannot find the next row, None where it can: after ``raw``."""
    if "end of data" in message:
        return BrokenFile("a quote is opened and never closed")
    if "field limit" in message and raw.count('"') % 2:  # its last line ends within quotes
        return BrokenFile(f"a cell is longer than {csv.field_size_limit():,} characters; is a quote never closed?")
    return None
