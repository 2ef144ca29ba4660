"""What all kinds of files come down to: names of fields, and slices of records made at once."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from mobiz_async.errors import Reason
from mobiz_async.recipients.columns import (
    NO_HEADER,
    FieldSource,
    UnfitError,
    as_text,
    looks_like_data,
    nameable,
)
from mobiz_async.recipients.files import SourceFileError
from mobiz_async.recipients.phones import RUINED, PhoneNumberError, is_rounded, text_of
from mobiz_async.recipients.stages import BadRecord

__all__ = [
    "LINE_END",
    "RAW_COLUMN",
    "REJECT_COLUMNS",
    "Table",
    "TableOptions",
    "as_phone",
    "checked_header",
    "dropped_columns",
    "line_of",
    "may_be_ruined",
    "raw_column",
    "template_problem",
    "unmade",
    "unmended",
]

REJECT_COLUMNS = ("_row", "_reason", "_field")
"""The columns that a file of rejects has before the record's own fields."""

LINE_END = "\r\n"

RAW_COLUMN = "_raw"
"""The column of a file of rejects that holds a row which could not be cut into fields rightly, as it stood.

Whoever mends the row empties it. Until then the row is held back: what stands in the fields may be half of a message.
"""


@attrs.frozen
class TableOptions:
    """What ``open_recipients`` was asked for; see there."""

    mapping: Mapping[str, str] | None = None
    phone_fields: frozenset[str] = frozenset({"Number"})
    delimiter: str | None = None
    header: tuple[str, ...] | None = None
    sheet: str | None = None


@attrs.frozen
class Table:
    """An opened table: the fields of its records (None: they may differ), the records, how many if that is known.

    ``hides_errors``: an empty cell may be one without a value, such as an error.
    """

    fields: tuple[str, ...] | None
    slices: Iterator[list[Any]]
    length: int | None = None
    hides_errors: bool = False


def checked_header(name: str, header: Sequence[str]) -> tuple[str, ...]:
    """Return the columns' names without blanks around, each of them there and once.

    Raises:
        SourceFileError: one is empty, twice there or has a NUL. Nothing that could be a recipient's is in the message.

    """
    columns = tuple(column.strip() for column in header)
    data = looks_like_data(columns)
    hint = f"; {NO_HEADER}: give it one, or name its columns (header)" if data else ""
    if any("\0" in column for column in columns):
        raise SourceFileError(name, "its header holds NUL characters; if the file is in UTF-16, name it: utf-16-le")
    places: dict[str, int] = {}
    for place, column in enumerate(columns, start=1):
        if not column:
            raise SourceFileError(name, f"its header has no name for column {place}{hint}")
        if (first := places.setdefault(column, place)) != place:
            if nameable(column) and not data:
                raise SourceFileError(name, f"its header names column {column!r} twice")
            raise SourceFileError(name, f"its header names columns {first} and {place} alike{hint}")
    return columns


def dropped_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that a file of rejects has over and above its records, none in any other file."""
    return (*REJECT_COLUMNS, RAW_COLUMN) if {"_row", "_reason"} <= set(columns) else ()


def raw_column(columns: Sequence[str]) -> int | None:
    """Return where a file of rejects has its ``_raw``, from 0; None where it has none, and in any other file."""
    return columns.index(RAW_COLUMN) if RAW_COLUMN in columns and dropped_columns(columns) else None


def line_of(cells: Iterable[Any], delimiter: str = ",") -> str:
    """Return a row as a line of CSV, with quotes where it needs them and without its end."""
    line = io.StringIO(newline="")
    csv.writer(line, delimiter=delimiter, lineterminator=LINE_END).writerow(cells)  # by which it knows what to quote
    return line.getvalue().removesuffix(LINE_END)


def unmended(cells: Mapping[str, Any], raw: str, reason: object) -> BadRecord:
    """Return the bad record that a row of rejects still is, for the ``_reason`` that it has there."""
    try:
        kept = Reason(str(reason))
    except ValueError:
        kept = Reason.MALFORMED
    return BadRecord(None, kept, {**cells, RAW_COLUMN: raw})


def unmade(bad: BadRecord, fields: Mapping[str, Any], row: Mapping[str, Any]) -> BadRecord:
    """Return ``bad`` with the ``fields`` that could be made of a ``row``, and with the row as it stands in ``_raw``.

    A field that is not there is an empty one in a file of rejects, and nothing in it would hold it back.
    """
    whole = json.dumps(row, default=str, ensure_ascii=False, skipkeys=True)
    return attrs.evolve(bad, cells={**fields, RAW_COLUMN: whole})


_RUINS = re.compile(r"[eE][+0-9]|#").search


def may_be_ruined(numbers: str) -> bool:
    """Return whether a spreadsheet may have ruined one of ``numbers``, joined: then each is to be looked at.

    It is asked of every slice, and so is quick where there are but numbers.
    """
    return ("E" in numbers or "e" in numbers or "#" in numbers) and _RUINS(numbers) is not None


def as_phone(field: str, value: object) -> str | BadRecord | None:
    """Return the number in a typed cell as text; None stays None."""
    if value is None:
        return None
    if is_rounded(value) or (isinstance(value, str) and RUINED.fullmatch(value.strip())):
        return BadRecord(field, Reason.RUINED)
    try:
        return text_of(value)
    except PhoneNumberError as error:
        return BadRecord(field, error.kind.reason)


def template_problem(source: FieldSource, cells: Mapping[str, Any]) -> BadRecord | None:
    """Return why the template of ``source`` cannot be filled from ``cells``, column -> value; None where it can."""
    if source.template is None:
        return None
    for column in source.columns:
        if column not in cells:
            return BadRecord(source.field, Reason.MISSING)
        try:
            as_text(cells[column])
        except UnfitError as error:
            return BadRecord(source.field, error.reason)
    return None
