"""Excel workbooks (extra ``excel``): the values of a sheet's cells, as text.

They are the values themselves, and not what the sheet shows of them: formats of display are not applied. A number is
written with the digits it needs (``42`` where a format shows ``0042``, ``0.15`` for ``15%``), a date in ISO form, a
duration in hours, a boolean as ``TRUE``; a formula is the value that was last calculated. Whoever wants texts to read
just as the sheet shows them makes them text there (``=TEXT(A2, "0000")``), or saves the sheet as CSV.

An error (``#N/A``), or a formula that was never calculated, in a cell that a record needs makes its row a bad record.
That is told of .xlsx files only; in .xls, .xlsb and .ods such a cell is an empty one.

A phone number may be a number cell if it is whole (27821234567.0); one with a fraction is no phone number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice, repeat
from typing import Any, BinaryIO

from mobiz_async.errors import ConfigurationError, Reason
from mobiz_async.recipients.columns import field_sources
from mobiz_async.recipients.extent import refusal_of_parts, refusal_of_sheet
from mobiz_async.recipients.files import SourceFileError
from mobiz_async.recipients.stages import LARGEST_SLICE, BadRecord
from mobiz_async.recipients.tables import RAW_COLUMN, Table, TableOptions, checked_header, dropped_columns, line_of
from mobiz_async.recipients.typed import Maker, NoValue, shown
from mobiz_async.recipients.valueless import valueless_cells

__all__ = ["open_excel"]


def open_excel(name: str, stream: BinaryIO, options: TableOptions) -> Table:
    """Return the table of one sheet: the one named, or the first that is not hidden. All its cells are held in memory.

    Rows without any content are no records. A given header names the columns from A on; a row with content beyond them
    is a bad record. Without one, empty columns before the table do not matter. Raises as ``open_delimited`` does.
    """
    try:
        import python_calamine  # noqa: PLC0415  # an extra
    except ImportError:
        raise ConfigurationError("Excel files need: pip install 'mobiz-async[excel]'") from None
    if (why := refusal_of_parts(stream)) is not None:
        raise SourceFileError(name, why)
    stream.seek(0)
    try:
        workbook = python_calamine.CalamineWorkbook.from_object(stream)
        names = workbook.sheet_names
        sheet = options.sheet if options.sheet is not None else _first_shown(workbook, python_calamine)
        if sheet not in names:
            raise ConfigurationError(f"there is no sheet {sheet!r}; there are: {', '.join(names)}")
        if (why := refusal_of_sheet(stream, sheet)) is not None:
            raise SourceFileError(name, why)
        cells = _Cells(workbook.get_sheet_by_name(sheet), valueless_cells(stream, sheet))
    except (python_calamine.CalamineError, OSError, ValueError, IndexError) as error:
        raise SourceFileError(name, f"it cannot be read as a workbook ({type(error).__name__})") from None
    header, rows = options.header, cells.rows()
    if header is None:
        rows = cells.rows(cells.left())
        header = tuple(map(_text, next(rows, ())))
        if not header:
            return Table((), rows, 0, cells.hides_errors)
    columns = checked_header(name, header)
    maker = Maker(columns, field_sources(options.mapping, columns, dropped_columns(columns)), options, convert=shown)
    length = cells.height - (options.header is None)
    return Table(maker.fields, _slices(rows, len(columns), maker), length, cells.hides_errors)


class _Cells:
    """The cells of a sheet: the library holds them, and rows are made of them as they are asked for."""

    def __init__(self, sheet: Any, valueless: Mapping[tuple[int, int], str] | None) -> None:
        self.hides_errors = valueless is None
        self._sheet = sheet
        self._valueless: dict[int, dict[int, NoValue]] = {}
        for (row, column), what in (valueless or {}).items():
            self._valueless.setdefault(row, {})[column] = NoValue(Reason.NO_VALUE, what)
        # What comes first or last in a sheet may be such a cell, of which the library knows nothing.
        corners = [*(valueless or ()), *(corner for corner in (sheet.start, sheet.end) if corner is not None)]
        self._top = min((row for row, _ in corners), default=0)
        self._left = min((column for _, column in corners), default=0)
        self._rows = max((row + 1 for row, _ in corners), default=0)
        self._width = max((column + 1 for _, column in corners), default=0)

    @property
    def height(self) -> int:
        """Rows from the first that holds anything to the last."""
        return self._rows - self._top

    def left(self) -> int:
        """Return the first column with content."""
        left = self._width
        for row in self.rows():
            left = min(left, next(place for place, cell in enumerate(row) if _content(cell)))
            if left == self._left:
                break
        return left

    def rows(self, left: int = 0) -> Iterator[list[Any]]:
        """Yield the rows with content, from column ``left`` on, all of one length."""
        # The library begins at the first row of the sheet, and in it at the first column that has something.
        indent = [""] * (self._sheet.start or (0, 0))[1]
        for place, cells in enumerate(islice(chain(self._sheet.iter_rows(), repeat(())), self._rows)):
            if cells.count("") == len(cells) and place not in self._valueless:
                continue  # at once: there may be a million of them one after the other
            row = [*indent, *cells]
            row += [""] * (self._width - len(row))
            for column, what in self._valueless.get(place, {}).items():
                if not _content(row[column]):
                    row[column] = what
            yield row[left:]


def _content(cell: object) -> bool:
    """Return whether there is anything in a cell."""
    return cell is not None and cell != ""


def _text(cell: object) -> str:
    return cell.shown if isinstance(cell, NoValue) else shown(cell)


def _first_shown(workbook: Any, calamine: Any) -> str:
    """Return the name of the first sheet that is there to be seen, and holds cells."""
    sheets = [sheet for sheet in workbook.sheets_metadata if sheet.typ == calamine.SheetTypeEnum.WorkSheet]
    visible = [sheet for sheet in sheets if sheet.visible == calamine.SheetVisibleEnum.Visible]
    return str([*visible, *sheets][0].name)


def _slices(rows: Iterator[list[Any]], width: int, maker: Maker) -> Iterator[list[Any]]:
    while part := list(islice(rows, LARGEST_SLICE)):
        if len(part[0]) == width:  # all rows of a sheet are as long as the sheet is wide
            yield maker.made(part)
            continue
        fitting = [row[:width] + [""] * (width - len(row)) for row in part]
        made = maker.made(fitting)
        for place, row in enumerate(part):
            if any(map(_content, row[width:])):
                cells = {**maker.fields_of(fitting[place]), RAW_COLUMN: line_of(map(_text, row))}
                made[place] = BadRecord(None, Reason.RAGGED, cells)
        yield made
