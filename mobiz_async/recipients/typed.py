"""Records from rows of typed cells: those of a sheet, or of a Parquet file."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any

import attrs

from mobiz_async.errors import Reason
from mobiz_async.recipients.columns import (
    Build,
    FieldSource,
    UnfitError,
    as_text,
    build_from_mappings,
    build_from_rows,
)
from mobiz_async.recipients.stages import BadRecord
from mobiz_async.recipients.tables import (
    TableOptions,
    as_phone,
    may_be_ruined,
    raw_column,
    template_problem,
    unmade,
    unmended,
)

__all__ = ["Maker", "NoValue", "plain", "shown"]


@attrs.frozen
class NoValue:
    """Stands in the place of a cell that has no value to be sent: why, and what may be shown of it."""

    reason: Reason
    shown: str = ""


class Maker:
    """Makes records of rows of typed cells, one for each of ``columns``."""

    def __init__(
        self,
        columns: Sequence[str],
        sources: Sequence[FieldSource],
        options: TableOptions,
        *,
        convert: Callable[[Any], Any],
        inexact: Collection[str] = (),
    ) -> None:
        """``convert`` makes a cell what the record holds. ``inexact`` columns hold numbers of too few digits."""
        self.fields = tuple(source.field for source in sources)
        self._columns = tuple(columns)
        self._sources = sources
        self._build: Build = build_from_rows(columns, sources, typed=True)
        self._raw_at = raw_column(columns)
        self._reason_at = columns.index("_reason") if self._raw_at is not None else 0
        self._convert = convert
        self._phones = {
            columns.index(source.columns[0]): source.field
            for source in sources
            if source.template is None and source.field in options.phone_fields
        }
        self._inexact = {place for place in self._phones if columns[place] in inexact}
        self._used = {columns.index(column): source.field for source in reversed(sources) for column in source.columns}

    def made(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return a record, or a ``BadRecord``, for each row."""
        made = [self._row(row) for row in rows]
        for place, field in self._phones.items():
            if _may_be_ruined([row[place] for row in rows]):
                made = [self._unless_ruined(row, place, field) for row in made]
        bad = [place for place, row in enumerate(made) if isinstance(row, BadRecord)]
        good = [row for row in made if not isinstance(row, BadRecord)]
        try:
            records: list[Any] = self._build(good)
        except UnfitError:
            records = [self._one(row) for row in good]
        for place in bad:
            records.insert(place, made[place])
        return records

    def _unless_ruined(self, row: list[Any] | BadRecord, place: int, field: str) -> list[Any] | BadRecord:
        if isinstance(row, BadRecord):
            return row
        number = as_phone(field, row[place])
        return attrs.evolve(number, cells=self.fields_of(row)) if isinstance(number, BadRecord) else row

    def _row(self, row: Sequence[Any]) -> list[Any] | BadRecord:
        cells = list(row)
        bad: BadRecord | None = None
        for place, cell in enumerate(row):
            kind = type(cell)
            if kind is str:
                continue
            if kind is NoValue:
                cells[place] = cell.shown
                bad = bad or self._valueless(place, cell, row)
            elif place in self._phones:
                number = self._phone(place, cell, row)
                bad = bad or (number if isinstance(number, BadRecord) else None)
                cells[place] = self._convert(cell) if isinstance(number, BadRecord) else number
            else:
                cells[place] = self._convert(cell)
        if self._raw_at is not None and str(cells[self._raw_at]).strip():
            return unmended(self.fields_of(cells), cells[self._raw_at], cells[self._reason_at])
        return cells if bad is None else attrs.evolve(bad, cells={**self.fields_of(cells), **(bad.cells or {})})

    def _valueless(self, place: int, cell: NoValue, row: Sequence[Any]) -> BadRecord | None:
        field = self._used.get(place)
        return None if field is None else unmade(BadRecord(field, cell.reason), {}, self._by_column(row))

    def _phone(self, place: int, cell: object, row: Sequence[Any]) -> str | BadRecord | None:
        field = self._phones[place]
        if place in self._inexact and cell is not None:
            return unmade(BadRecord(field, Reason.RUINED), {}, self._by_column(row))
        return as_phone(field, _whole(cell))

    def _by_column(self, row: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self._columns, map(self._read, row), strict=True))

    def _read(self, cell: Any) -> Any:
        return cell.shown if isinstance(cell, NoValue) else self._convert(cell)

    def _one(self, cells: Sequence[Any]) -> dict[str, Any] | BadRecord:
        by_column = self._by_column(cells)
        for source in self._sources:
            if (bad := template_problem(source, by_column)) is not None:
                return unmade(bad, self.fields_of(cells), by_column)
        record: dict[str, Any] = self._build([cells])[0]
        return record

    def fields_of(self, cells: Sequence[Any]) -> dict[str, Any]:
        """Return the fields that can be made of a row of which not all is as it should be."""
        by_column = self._by_column(cells)
        there = [source for source in self._sources if template_problem(source, by_column) is None]
        return build_from_mappings(there)([by_column])[0]


def _may_be_ruined(numbers: list[Any]) -> bool:
    try:
        return may_be_ruined("\n".join(numbers))
    except TypeError:  # there are typed ones among them
        return may_be_ruined("\n".join([number for number in numbers if isinstance(number, str)]))


def _whole(value: object) -> object:
    """Return a decimal without places as an int, anything else as it is."""
    return int(value) if isinstance(value, decimal.Decimal) and value == value.to_integral_value() else value


_WRITTEN_OUT = 1e15


def shown(value: object) -> str:
    """Return a cell as text."""
    if type(value) is float and value.is_integer() and abs(value) < _WRITTEN_OUT:
        return str(int(value))
    return as_text(plain(value))


def plain(value: Any) -> Any:
    """Return a cell as what JSON has: times, decimals and UUIDs as text."""
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return _duration(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    return str(value) if isinstance(value, uuid.UUID) else value


def _duration(value: dt.timedelta) -> str:
    """Return hours, minutes and seconds, ``30:00:00``, as a spreadsheet writes them."""
    size = abs(value)
    minutes, seconds = divmod(size.days * 86_400 + size.seconds, 60)
    parts = f".{size.microseconds:06}".rstrip("0") if size.microseconds else ""
    return f"{'-' if value < size else ''}{minutes // 60}:{minutes % 60:02}:{seconds:02}{parts}"
