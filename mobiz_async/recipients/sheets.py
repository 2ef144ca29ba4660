"""Tables with typed cells: Excel workbooks (extra ``excel``) and Parquet files (extra ``parquet``).

A sheet is read as its CSV export would be: every cell becomes text, dates in ISO form, a formula as the value that was
last calculated. Parquet keeps its types, but for dates and decimals, which become text. Phone numbers are text in both;
a number cell that is a whole number (27821234567.0) is fine, one with a fraction is no phone number.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import attrs

from mobiz_async.errors import ConfigurationError
from mobiz_async.recipients.columns import Build, FieldSource, build_from_rows, field_sources
from mobiz_async.recipients.files import SourceFileError
from mobiz_async.recipients.stages import BadRecord
from mobiz_async.recipients.tables import (
    SLICE,
    Table,
    TableOptions,
    as_phone,
    checked_header,
    dropped_columns,
    raw_column,
    unmended,
)

__all__ = ["open_excel", "open_parquet"]


def open_excel(name: str, stream: BinaryIO, options: TableOptions) -> Table:
    """Return the table of one sheet: the one named, or the first. The whole sheet is held in memory.

    Rows without any content are no records. Raises as ``open_delimited`` does.
    """
    try:
        import python_calamine  # noqa: PLC0415  # an extra
    except ImportError:
        raise ConfigurationError("Excel files need: pip install 'mobiz-async[excel]'") from None
    try:
        workbook = python_calamine.CalamineWorkbook.from_object(stream)
        names = workbook.sheet_names
        sheet = options.sheet if options.sheet is not None else names[0]
        if sheet not in names:
            raise ConfigurationError(f"there is no sheet {sheet!r}; there are: {', '.join(names)}")
        cells = workbook.get_sheet_by_name(sheet).to_python()
    except (python_calamine.CalamineError, OSError, ValueError, IndexError) as error:
        raise SourceFileError(name, f"it cannot be read as a workbook ({type(error).__name__})") from None
    rows = [row for row in cells if any(cell not in {"", None} for cell in row)]
    header = options.header
    if header is None:
        if not rows:
            return Table((), iter(()), 0)
        header = tuple(map(_shown, rows.pop(0)))
    columns = checked_header(name, header)
    maker = _Maker(columns, field_sources(options.mapping, columns, dropped_columns(columns)), options, convert=_shown)
    starts = range(0, len(rows), SLICE)
    return Table(maker.fields, (maker.made(rows[start : start + SLICE]) for start in starts), len(rows))


def open_parquet(name: str, stream: BinaryIO, options: TableOptions) -> Table:
    """Return the table of a Parquet file, read row group by row group, and only the columns that are asked for."""
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415  # an extra, without types
        import pyarrow.parquet as pq  # type: ignore[import-untyped]  # noqa: PLC0415  # the same
    except ImportError:
        raise ConfigurationError("Parquet files need: pip install 'mobiz-async[parquet]'") from None
    try:
        file = pq.ParquetFile(stream)
        header = tuple(file.schema_arrow.names)
    except (pa.ArrowException, OSError) as error:
        raise SourceFileError(name, f"it cannot be read as Parquet ({type(error).__name__})") from None
    columns = checked_header(name, header)
    sources = field_sources(options.mapping, columns, dropped_columns(columns))
    wanted = [place for place, column in enumerate(columns) if any(column in source.columns for source in sources)]
    maker = _Maker([columns[place] for place in wanted], sources, options, convert=_plain)

    def slices() -> Iterator[list[Any]]:
        row = 0
        try:
            for batch in file.iter_batches(SLICE, columns=[header[place] for place in wanted]):
                rows = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
                row += batch.num_rows
                yield maker.made(rows or [()] * batch.num_rows)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise SourceFileError(name, f"it cannot be read further ({type(error).__name__})", row + 1) from None

    return Table(maker.fields, slices(), file.metadata.num_rows)


class _Maker:
    """Makes records of rows of typed cells."""

    def __init__(
        self, columns: Sequence[str], sources: Sequence[FieldSource], options: TableOptions, *, convert: Any
    ) -> None:
        self.fields = tuple(source.field for source in sources)
        self._build: Build = build_from_rows(columns, sources, typed=True)
        self._width = len(columns)
        self._raw_at = raw_column(columns)
        self._reason_at = columns.index("_reason") if self._raw_at is not None else 0
        self._convert = convert
        self._phones = {
            columns.index(source.columns[0]): source.field
            for source in sources
            if source.template is None and source.field in options.phone_fields
        }

    def made(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        plain = [self._row(row) for row in rows]
        bad = [place for place, row in enumerate(plain) if isinstance(row, BadRecord)]
        records: list[Any] = self._build(row for row in plain if not isinstance(row, BadRecord))
        for place in bad:
            records.insert(place, plain[place])
        return records

    def _row(self, row: Sequence[Any]) -> list[Any] | BadRecord:
        # calamine's rows are as long as the sheet is wide; a given header may be longer or shorter than that.
        cells = list(row[: self._width]) + [""] * (self._width - len(row))
        bad: BadRecord | None = None
        for place, cell in enumerate(cells):
            if place in self._phones and not isinstance(cell, str):
                number = as_phone(self._phones[place], _whole(cell))
                if isinstance(number, BadRecord):
                    bad = bad or number
                    cells[place] = self._convert(cell)
                else:
                    cells[place] = number
            elif type(cell) is not str:
                cells[place] = self._convert(cell)
        if self._raw_at is not None and str(cells[self._raw_at]).strip():
            return unmended(self._build([cells])[0], cells[self._raw_at], cells[self._reason_at])
        return cells if bad is None else attrs.evolve(bad, cells=self._build([cells])[0])


def _whole(value: object) -> object:
    """Return a decimal without places as an int, anything else as it is."""
    return int(value) if isinstance(value, decimal.Decimal) and value == value.to_integral_value() else value


def _shown(value: object) -> str:
    """Return a cell of a sheet as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(_plain(value))


def _plain(value: Any) -> Any:
    """Return a cell as what JSON has: times and decimals as text."""
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (dt.timedelta, decimal.Decimal)):
        return str(value)
    return value
