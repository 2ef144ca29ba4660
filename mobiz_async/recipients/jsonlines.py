"""JSON Lines: an object on each line. Numbers, booleans and null stay what they are, but for phone numbers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import chain
from math import isfinite
from typing import Any

import attrs
import msgspec

from mobiz_async.errors import Reason
from mobiz_async.recipients.columns import as_text, build_from_mappings, field_sources
from mobiz_async.recipients.files import BrokenFile, SourceFileError, not_utf8
from mobiz_async.recipients.stages import BadRecord
from mobiz_async.recipients.tables import (
    RAW_COLUMN,
    Table,
    TableOptions,
    as_phone,
    dropped_columns,
    missing_columns,
    unmended,
)

__all__ = ["open_json_lines"]

_decoder = msgspec.json.Decoder(dict[str, Any])


def open_json_lines(name: str, blocks: Iterator[bytes], options: TableOptions) -> Table:
    """Return the table of a file of objects, a line each.

    Raises:
        SourceFileError: it is one big JSON array instead.
        ConfigurationError: the mapping cannot be read.

    """
    reader = _Reader(name, options)
    try:
        first = next(blocks, b"")
    except BrokenFile as error:
        raise SourceFileError(name, str(error), 1) from None
    if first.lstrip().startswith(b"["):
        raise SourceFileError(name, "it is a JSON array; JSON Lines has an object on each line (`jq -c .[]`)")
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
            for field in self._phones:
                "".join([record[field] for record in made])  # refuses what is not text
        except (KeyError, TypeError):
            return [self._one(record) for record in found]
        return made

    def _without_reject_columns(self, found: list[Any]) -> list[Any]:
        if self._drop is None and found:
            self._drop = dropped_columns(tuple(found[0])) if isinstance(found[0], dict) else ()
        return list(map(self._less, found)) if self._drop else found

    def _less(self, record: dict[str, Any] | BadRecord) -> dict[str, Any] | BadRecord:
        """Return a row of rejects without what is said of it there, bad still where it has not been mended."""
        if isinstance(record, BadRecord):
            cells = {name: cell for name, cell in (record.cells or {}).items() if name not in (self._drop or ())}
            return record if record.field is None else attrs.evolve(record, cells=cells)
        own = {column: record.pop(column, None) for column in self._drop or ()}
        raw = as_text(own[RAW_COLUMN])
        return unmended(self._fields_of(record), raw, own["_reason"]) if raw.strip() else record

    def _one(self, record: dict[str, Any] | BadRecord) -> dict[str, Any] | BadRecord:
        if isinstance(record, BadRecord):
            return record if record.field is None else self._by_field(record)
        if self._sources:
            for source in self._sources:
                if (bad := missing_columns(source, record)) is not None:
                    return attrs.evolve(bad, cells=self._fields_of(record))
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
        field = next((source.field for source in self._sources if source.columns == (record.field,)), None)
        return BadRecord(field, record.reason, self._fields_of(dict(record.cells or {})))

    def _fields_of(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of which all columns are there; without a mapping the record as it is."""
        if not self._sources:
            return record
        there = [source for source in self._sources if all(column in record for column in source.columns)]
        return build_from_mappings(there)([record])[0]


def _decoded(block: bytes) -> tuple[list[Any], BrokenFile | None]:
    """Return the object of each line that is not blank, and the fault that ended them."""
    try:
        return _decoder.decode_lines(block), None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        pass  # some line is bad: one by one
    found: list[Any] = []
    for line in block.splitlines():
        try:
            if text := line.decode().strip():
                found.append(_decoded_line(text))
        except UnicodeDecodeError as error:
            return found, not_utf8(error)
    return found, None


def _decoded_line(text: str) -> dict[str, Any] | BadRecord:
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return _unreadable(text)


def _unreadable(text: str) -> BadRecord:
    """Return what is wrong with a line: no JSON, no object, or a number larger than any."""
    raw = {RAW_COLUMN: text}
    try:
        read = json.loads(text, parse_float=_float, parse_int=_int, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return BadRecord(None, Reason.MALFORMED, raw)
    if not isinstance(read, dict):
        return BadRecord(None, Reason.NOT_A_RECORD, raw)
    field = next((field for field, value in read.items() if isinstance(value, _TooLarge)), None)
    if field is None:  # within a list or an object, say
        return BadRecord(None, Reason.NOT_FINITE, raw)
    cells = {key: str(value) if isinstance(value, _TooLarge) else value for key, value in read.items()}
    return BadRecord(field, Reason.NOT_FINITE, cells)


class _TooLarge(str):
    """A number as it is written."""

    __slots__ = ()


def _float(written: str) -> float | _TooLarge:
    return value if isfinite(value := float(written)) else _TooLarge(written)


def _int(written: str) -> int | _TooLarge:
    return int(written) if len(written) <= sys.int_info.default_max_str_digits else _TooLarge(written)


def _refuse(constant: str) -> float:
    raise ValueError(constant)
