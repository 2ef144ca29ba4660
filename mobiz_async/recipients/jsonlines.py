"""JSON Lines: an object on each line. Numbers, booleans and null stay what they are, but for phone numbers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import msgspec

from mobiz_async.errors import Reason
from mobiz_async.recipients.columns import build_from_mappings, field_sources
from mobiz_async.recipients.files import BrokenFile, SourceFileError, not_utf8
from mobiz_async.recipients.stages import BadRecord
from mobiz_async.recipients.tables import (
    REJECT_COLUMNS,
    Table,
    TableOptions,
    as_phone,
    dropped_columns,
    missing_columns,
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
        self._drop_reject_columns(found)
        try:
            made = self._build(found) if self._sources else found
            for field in self._phones:
                "".join([record[field] for record in made])  # refuses what is not text
        except (KeyError, TypeError):
            return [self._one(record) for record in found]
        return made

    def _drop_reject_columns(self, found: list[Any]) -> None:
        if self._drop is None and found:
            self._drop = dropped_columns(tuple(found[0])) if isinstance(found[0], dict) else ()
        for record in found if self._drop else ():
            if isinstance(record, dict):
                for column in REJECT_COLUMNS:
                    record.pop(column, None)

    def _one(self, record: dict[str, Any] | BadRecord) -> dict[str, Any] | BadRecord:
        if isinstance(record, BadRecord):
            return record
        if self._sources:
            for source in self._sources:
                if (bad := missing_columns(source, record)) is not None:
                    return bad
            there = tuple(source for source in self._sources if source.columns[0:1] and source.columns[0] in record)
            constant = tuple(source for source in self._sources if not source.columns)
            record = build_from_mappings(there + constant)([record])[0]
        for field in self._phones:
            if field in record:
                number = as_phone(field, record[field])
                if isinstance(number, BadRecord):
                    return number
                record[field] = number
        return record


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
    except msgspec.ValidationError:
        return BadRecord(None, Reason.NOT_A_RECORD)
    except (msgspec.MsgspecError, RecursionError):
        return BadRecord(None, Reason.MALFORMED)
