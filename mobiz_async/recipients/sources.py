"""Files of recipients, opened by name and content, as an iterable of records.

    with open_recipients("spring.csv", mapping={"Number": "cell", "Message": "Hi {first_name}"}) as recipients:
        report = await mobiz.send_bulk(contacts, recipients, on_invalid=OnInvalid.SKIP)

Rows are read as they are asked for, in flat memory (an Excel sheet apart). A row that cannot become a record comes as a
``BadRecord`` in its place, so that a bulk run can skip it, count it and name its row. Rows count from 1; the header and
blank lines are not counted.

A database cursor needs nothing from here: any iterable of mappings is a source of records, and so is any async one.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import PurePath
from types import TracebackType
from typing import Any, BinaryIO, Self, assert_never

import attrs

from mobiz_async.errors import ConfigurationError
from mobiz_async.recipients.delimited import open_delimited
from mobiz_async.recipients.files import BinaryFile, SourceFileError, line_blocks, open_binary, text_of_head
from mobiz_async.recipients.jsonlines import open_json_lines
from mobiz_async.recipients.parquet import open_parquet
from mobiz_async.recipients.sheets import open_excel
from mobiz_async.recipients.stages import BadRecord
from mobiz_async.recipients.tables import Table, TableOptions
from mobiz_async.unseen import hide, theirs, unseen

__all__ = ["FileFormat", "Recipients", "SourceFileError", "open_recipients"]


class FileFormat(enum.StrEnum):
    """The kinds of files that recipients come in."""

    CSV = "csv"
    """Cells with a delimiter between them, of whatever kind: CSV, TSV, semicolons."""
    JSON_LINES = "jsonl"
    EXCEL = "excel"
    PARQUET = "parquet"


_MAGIC = (
    (b"PAR1", FileFormat.PARQUET),
    (b"PK\x03\x04", FileFormat.EXCEL),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileFormat.EXCEL),  # the old binary .xls
)
_SUFFIXES = {
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.CSV,
    ".tab": FileFormat.CSV,
    ".jsonl": FileFormat.JSON_LINES,
    ".ndjson": FileFormat.JSON_LINES,
    ".json": FileFormat.JSON_LINES,
}
_OBJECT = re.compile(r'\s*(?:\[\s*)?\{\s*["}]').match
"""How a file of JSON objects begins, whatever its name; or of an array of them, which the reader knows to refuse."""
_TABS = {".tsv", ".tab"}
_FORMATS_OF = {
    "delimiter": (FileFormat.CSV,),
    "encoding": (FileFormat.CSV, FileFormat.JSON_LINES),
    "header": (FileFormat.CSV, FileFormat.EXCEL),
    "sheet": (FileFormat.EXCEL,),
}
"""An option -> the formats that it means something for."""
_COMPRESSED = {".gz", ".zst", ".zstd"}


def open_recipients(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    mapping: Mapping[str, str] | None = None,
    phone_fields: Collection[str] = ("Number",),
    format: FileFormat | str | None = None,  # noqa: A002  # the word that users look for
    encoding: str | None = None,
    delimiter: str | None = None,
    header: Sequence[str] | None = None,
    sheet: str | None = None,
) -> Recipients:
    """Open a file of recipients: CSV or TSV, JSON Lines, Excel or Parquet; the text ones also gzip- or zstd-compressed.

    ``source`` is a path, ``"-"`` (standard input) or a binary stream. What it holds is told by its first bytes, then by
    its name; ``format`` overrides both. ``mapping`` says where each field comes from (see ``columns``); without it
    each column is a field. ``phone_fields`` are the fields that hold phone numbers: text always, and looked at for what
    spreadsheets do to them (``2.78E+10`` is a bad record, ``RUINED``). ``encoding`` is UTF-8 by default; a byte order
    mark says more than it; ``delimiter`` one of ``, ; tab |`` as the first rows suggest. ``header`` names the columns
    of a file that has no header. ``sheet`` is the sheet of a workbook, the first that is not hidden by default.

    A file of rejects is known by its columns ``_row`` and ``_reason``; these, ``_field`` and ``_raw`` are left out of
    its records. A row of it that has something in ``_raw`` still is a bad record: whoever mends it empties that cell.

    Raises:
        SourceFileError: it cannot be opened, or its header is unusable (also later, where it cannot be read further).
        ConfigurationError: the mapping names a column that is not there, the format has no use for something that was
            asked for, or an extra is not installed.

    """
    try:
        form = FileFormat(format) if format is not None else None
    except ValueError:
        raise ConfigurationError(f"a format is one of {', '.join(FileFormat)}") from None
    options = TableOptions(mapping, frozenset(phone_fields), delimiter, tuple(header) if header else None, sheet)
    return Recipients(source, options, form, encoding)


class Recipients:
    """An open file of recipients: iterate it for records. Made by ``open_recipients``.

    A file given by its path can be iterated again, from its beginning; a stream only once.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        options: TableOptions,
        form: FileFormat | None,
        encoding: str | None,
    ) -> None:
        """Open the file and read its header."""
        self._source = source
        self._options = options
        self._form = form
        self._encoding = encoding
        self._iterated = False
        self._file, self._table = self._open()

    @property
    def fields(self) -> tuple[str, ...] | None:
        """The fields of the records; None for JSON Lines without a mapping, where they may differ."""
        return self._table.fields

    @property
    def length(self) -> int | None:
        """How many records there are, where the file tells (Excel, Parquet); blank ones may be among them."""
        return self._table.length

    @property
    def hides_errors(self) -> bool:
        """Whether an empty cell may be one with an error (``#N/A``): in workbooks that are not .xlsx."""
        return self._table.hides_errors

    def fraction(self) -> float | None:
        """How much of the file's bytes has been read, 0.0 to 1.0; None where its size is not known: for a stream."""
        return self._file.fraction()

    def __iter__(self) -> Iterator[dict[str, Any] | BadRecord]:
        """Yield a dict, or a ``BadRecord``, for each row.

        Raises (while iterating):
            SourceFileError: the file cannot be read further; ``row`` says where.

        """
        if self._iterated:
            if self._file.size is None:
                raise SourceFileError(self._file.name, "a stream can be read only once")
            self.close()
            self._file, self._table = self._open()
        elif getattr(self._file.raw, "closed", False):
            raise SourceFileError(self._file.name, "it has been closed")
        self._iterated = True
        # A C iterator over slices: no Python code runs for each record.
        return chain.from_iterable(self._slices(self._file, self._table))

    def _slices(self, file: BinaryFile, table: Table) -> Iterator[list[Any]]:
        try:
            yield from table.slices
        except Exception as error:  # noqa: BLE001  whatever it is, its frames hold the rows that were being read
            raised = theirs(error)
        else:
            return
        finally:
            file.close()
        raise raised

    def close(self) -> None:
        """Close the file; a stream is left as it is. Twice is fine."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def _open(self) -> tuple[BinaryFile, Table]:
        return unseen(hide(self._opened))

    def _opened(self) -> tuple[BinaryFile, Table]:
        file = open_binary(self._source)
        try:
            return file, self._open_table(file)
        except BaseException:
            file.close()
            raise

    def _open_table(self, file: BinaryFile) -> Table:
        suffix = _suffix(file.name)
        form = self._form or _format_of(file, suffix, self._encoding)
        self._check_options(form)
        match form:
            case FileFormat.EXCEL | FileFormat.PARQUET:
                if file.compressed or file.size is None:
                    raise SourceFileError(file.name, f"{form} is read from a file, neither compressed nor a stream")
                file.raw.seek(0)  # to before its head
                opener = open_excel if form is FileFormat.EXCEL else open_parquet
                return opener(file.name, file.raw, self._options)
            case FileFormat.JSON_LINES:
                return open_json_lines(file.name, line_blocks(file, self._encoding), self._options)
            case FileFormat.CSV:
                options = self._options
                if suffix in _TABS and options.delimiter is None:
                    options = attrs.evolve(options, delimiter="\t")
                return open_delimited(file.name, line_blocks(file, self._encoding), options)
            case _:
                assert_never(form)

    def _check_options(self, form: FileFormat) -> None:
        """Raise ``ConfigurationError`` where something was asked for that a file of this format has no use for."""
        for name, value in {**attrs.asdict(self._options, recurse=False), "encoding": self._encoding}.items():
            if value is not None and form not in _FORMATS_OF.get(name, FileFormat):
                raise ConfigurationError(
                    f"is for files of {' or '.join(_FORMATS_OF[name])}, and this one is read as {form}", setting=name
                )


def _suffix(name: str) -> str:
    path = PurePath(name.lower())
    return PurePath(path.stem).suffix if path.suffix in _COMPRESSED else path.suffix


def _format_of(file: BinaryFile, suffix: str, encoding: str | None) -> FileFormat:
    for magic, form in _MAGIC:
        if file.head.startswith(magic):
            return form
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    return FileFormat.JSON_LINES if _OBJECT(text_of_head(file, encoding)) else FileFormat.CSV
