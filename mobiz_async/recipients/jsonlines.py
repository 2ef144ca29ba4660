"""JSON Lines: an object on each line. Numbers, booleans and null stay what they are, but for phone numbers.

What a line is depends on that line alone, not on its neighbours or on how the file happens to be read in blocks. So an
object that goes on over many lines is none, nor is a line with two of them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from itertools import chain
from math import isfinite
from typing import Any

import attrs
import msgspec

from mobiz_async.errors import Reason
from mobiz_async.recipients.columns import build_from_mappings, field_sources
from mobiz_async.recipients.files import BrokenFile, SourceFileError, not_utf8
from mobiz_async.recipients.stages import BadRecord
from mobiz_async.recipients.tables import (
    RAW_COLUMN,
    Table,
    TableOptions,
    as_phone,
    dropped_columns,
    may_be_ruined,
    template_problem,
    unmade,
    unmended,
)
from mobiz_async.recipients.values import fault_of

__all__ = ["open_json_lines"]

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_ARRAY = re.compile(rb"\s*\[").match
_SPREAD_OUT = re.compile(rb"\s*\{[ \t]*(?:[\r\n]|$)").match
"""How JSON begins that was written for people to read: a brace, and no more on its line."""


def open_json_lines(name: str, blocks: Iterator[bytes], options: TableOptions) -> Table:
    """Return the table of a file of objects, a line each.

    Raises:
        SourceFileError: it is one big JSON array instead, or its objects go on over many lines.
        ConfigurationError: the mapping cannot be read.

    """
    reader = _Reader(name, options)
    try:
        first = next(filter(bytes.strip, blocks), b"")
    except BrokenFile as error:
        raise SourceFileError(name, str(error), 1) from None
    if _ARRAY(first):
        raise SourceFileError(name, "it is a JSON array; JSON Lines has an object on each line (`jq -c .[]`)")
    if _SPREAD_OUT(first):
        raise SourceFileError(name, "its objects go on over many lines; JSON Lines has one on each line (`jq -c .`)")
    return Table(reader.fields, reader.slices(chain([first], blocks)))


class _Reader:
    def __init__(self, name: str, options: TableOptions) -> None:
        self._name = name
        self._sources = field_sources(options.mapping, None)
        self.fields = tuple(source.field for source in self._sources) or None
        self._build = build_from_mappings(self._sources)
        self._phones = sorted(options.phone_fields)
        self._drop: tuple[str, ...] | None = None

    def slices(self, blocks: Iterator[bytes]) -> Iterator[list[Any]]:
        row = 0
        try:
            for block in blocks:
                found, fault = _decoded(block)
                made = self._made(found)
                row += len(made)
                yield made
                if fault is not None:
                    raise fault
        except BrokenFile as error:
            raise SourceFileError(self._name, str(error), row + 1) from None

    def _made(self, found: list[Any]) -> list[Any]:
        found = self._without_reject_columns(found)
        try:
            made = self._build(found) if self._sources else found
            # Joining refuses what is not text.
            ruined = any(may_be_ruined("\n".join([record[field] for record in made])) for field in self._phones)
        except (KeyError, TypeError):
            ruined = True
        return [self._one(record) for record in found] if ruined else made

    def _without_reject_columns(self, found: list[Any]) -> list[Any]:
        if self._drop is None and (first := next((one for one in found if isinstance(one, dict)), None)) is not None:
            self._drop = dropped_columns(tuple(first))
        return list(map(self._less, found)) if self._drop else found

    def _less(self, record: dict[str, Any] | BadRecord) -> dict[str, Any] | BadRecord:
        """Return a row of rejects without what is said of it there, bad still where it has not been mended."""
        if isinstance(record, BadRecord):
            cells = {name: cell for name, cell in (record.cells or {}).items() if name not in (self._drop or ())}
            return record if _stands_whole(record) else attrs.evolve(record, cells=cells)
        own = {column: record.pop(column, None) for column in self._drop or ()}
        raw = own[RAW_COLUMN] if isinstance(own[RAW_COLUMN], str) else str(own[RAW_COLUMN] or "")
        return unmended(self._fields_of(record), raw, own["_reason"]) if raw.strip() else record

    def _one(self, record: dict[str, Any] | BadRecord) -> dict[str, Any] | BadRecord:
        if isinstance(record, BadRecord):
            return self._by_field(record)
        if self._sources:
            for source in self._sources:
                if (bad := template_problem(source, record)) is not None:
                    return unmade(bad, self._fields_of(record), record)
            record = self._fields_of(record)
        for field in self._phones:
            if field in record:
                number = as_phone(field, record[field])
                if isinstance(number, BadRecord):
                    return attrs.evolve(number, cells=record)
                record[field] = number
        return record

    def _by_field(self, record: BadRecord) -> BadRecord:
        """Return a bad record that names columns so far with the fields that they go to."""
        if not self._sources:
            return record
        field = next((source.field for source in self._sources if record.field in source.columns), None)
        cells = record.cells if _stands_whole(record) else self._fields_of(dict(record.cells or {}))
        return BadRecord(field, record.reason, cells)

    def _fields_of(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the fields that can be made of what is there; without a mapping the record as it is."""
        if not self._sources:
            return record
        there = [source for source in self._sources if all(column in record for column in source.columns)]
        return build_from_mappings([one for one in there if template_problem(one, record) is None])([record])[0]


def _stands_whole(record: BadRecord) -> bool:
    """Return whether what is kept of a line is its text."""
    return record.cells is not None and record.cells.keys() == {RAW_COLUMN}


def _decoded(block: bytes) -> tuple[list[Any], BrokenFile | None]:
    """Return the object of each line that is not blank, and the fault that ended them."""
    lines = block.splitlines()
    try:
        # Line by line, where decode_lines() would take objects from wherever one ends. It costs a third more, and to
        # make sure of the same in some other way costs no less.
        return list(map(_decode, lines)), None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        pass  # some line is bad, or blank
    found: list[Any] = []
    for line in lines:
        try:
            if text := line.decode().strip():
                found.append(_decoded_line(text))
        except UnicodeDecodeError as error:
            return found, not_utf8(error)
    return found, None


def _decoded_line(text: str) -> dict[str, Any] | BadRecord:
    try:
        return _decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return _unreadable(text)


def _unreadable(text: str) -> BadRecord:
    """Return what is wrong with a line: no JSON, no object, a number larger than any, or half a character."""
    raw = {RAW_COLUMN: text}
    overflows: list[str] = []
    try:
        read = json.loads(
            text,
            parse_float=lambda written: _float(written, overflows),
            parse_int=lambda written: _int(written, overflows),
            parse_constant=_refuse,
        )
    except (ValueError, RecursionError):
        return BadRecord(None, Reason.MALFORMED, raw)
    if not isinstance(read, dict):
        return BadRecord(None, Reason.NOT_A_RECORD, raw)
    field = next((field for field, value in read.items() if isinstance(value, _TooLarge)), None)
    if field is not None:
        return _with_cells(field, read, raw)
    if overflows:  # within a list or an object
        return BadRecord(None, Reason.NOT_FINITE, raw)
    return BadRecord(*(fault_of(read) or (None, Reason.MALFORMED)), raw)  # as "\ud83d" is, without its other half


def _with_cells(field: str, read: dict[str, Any], raw: dict[str, str]) -> BadRecord:
    cells = {key: str(value) if isinstance(value, _TooLarge) else value for key, value in read.items()}
    return BadRecord(field, Reason.NOT_FINITE, cells if fault_of(cells) is None else raw)


class _TooLarge(str):
    """A number as it is written."""

    __slots__ = ()


def _float(written: str, overflows: list[str]) -> float | _TooLarge:
    if isfinite(value := float(written)):
        return value
    overflows.append(written)
    return _TooLarge(written)


def _int(written: str, overflows: list[str]) -> int | _TooLarge:
    if len(written) <= sys.int_info.default_max_str_digits:
        return int(written)
    overflows.append(written)
    return _TooLarge(written)


def _refuse(constant: str) -> float:
    raise ValueError(constant)
