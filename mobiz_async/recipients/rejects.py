"""Records that did not go, in a file that can be mended and sent again.

The file begins with the columns ``_row`` (of the source, from 1), ``_reason`` and ``_field``, and goes on with the
record's own fields. ``open_recipients`` leaves those three out, so that the file, once mended, is a source like any
other. A row of a file that could not be cut into fields is whole in ``_raw``, which has to be emptied as well. So is a
record which neither CSV nor JSON can hold as it is, such as one with half a surrogate pair in a text, or with bytes.
The file holds recipients' data, as a journal does and what is exported from one, and only its owner can read it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from mobiz_async.encoding import encode
from mobiz_async.errors import ConfigurationError
from mobiz_async.recipients.stages import SKIPS, Problem
from mobiz_async.recipients.tables import LINE_END, RAW_COLUMN, REJECT_COLUMNS, line_of
from mobiz_async.recipients.values import fault_of, value_problem
from mobiz_async.reports import ChunkOutcome
from mobiz_async.unseen import hide, unseen

__all__ = ["RejectsWriter", "check_name", "is_file_of_rejects", "is_there_already"]

_FIRST_LINE = 100
"""Bytes, which say what kind of file it is."""
_JSON_LINES = {".jsonl", ".ndjson", ".json"}
_NEITHER = {
    *(".xlsx", ".xlsm", ".xltx", ".xls", ".xlsb", ".ods", ".numbers", ".parquet", ".pq"),
    *(".tsv", ".tab"),
    *(".gz", ".zst", ".zstd", ".zip", ".bz2", ".xz"),
}
"""Ends of names under which other programs, or this one, expect neither commas between cells nor JSON Lines."""


def check_name(path: Path) -> None:
    """Raise ``ConfigurationError`` where the name promises what no file of rejects is."""
    if path.suffix.lower() in _NEITHER:
        raise ConfigurationError(
            f"{path} would not be what its name says: a file of rejects is CSV or JSON Lines; "
            "name it .csv, which spreadsheets open, or .jsonl"
        )


def is_there_already(path: Path) -> ConfigurationError:
    """Return what to raise where ``path`` must not be written over."""
    return ConfigurationError(
        f"{path} exists; records of an earlier run may be in it: move it away, or name another file"
    )


def is_file_of_rejects(path: Path) -> bool:
    """Return whether ``path`` is a regular file that is empty, or begins as one that ``RejectsWriter`` has written."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        line = file.readline(_FIRST_LINE)
    if not line:
        return True  # of one that was killed as it began: there is nothing in it
    if path.suffix.lower() in _JSON_LINES:
        return line.startswith(b'{"%b":' % REJECT_COLUMNS[0].encode())
    return line.startswith(",".join(REJECT_COLUMNS).encode())


class RejectsWriter:
    """Writes rejected records to a CSV file, or to JSON Lines when the name ends in ``.jsonl``, ``.ndjson``, ``.json``.

    In CSV all values are text: null becomes an empty cell, lists and objects JSON. JSON Lines keeps types. What neither
    can hold is written as Python spells it, and the record is kept whole in ``_raw``, as JSON in ASCII, so that it does
    not go before it is mended. Each record is handed to the system as it is written, so a killed program loses none. A
    record with fields that the header lacks widens it, for which the file is written anew. A file without any record is
    removed on closing.
    """

    def __init__(
        self, path: str | os.PathLike[str], fields: Iterable[str] | None = None, *, overwrite: bool = False
    ) -> None:
        """Create the file, mode 0600. ``fields`` is the header to begin with; by default the first record's fields.

        Raises:
            ConfigurationError: its name is that of another kind of file (``.xlsx``, ``.gz``), it exists and
                ``overwrite`` is not given, or it cannot be created.

        """
        self._path = Path(path)
        check_name(self._path)
        self._json = self._path.suffix.lower() in _JSON_LINES
        self._fields = list(map(_legible, fields or ()))
        self._whole = 0
        """Bytes of the file, up to the end of the last record."""
        self.count: int = 0
        """Records written so far."""
        try:
            self._file = _create(self._path, "w" if overwrite else "x")
            if not self._json:
                self._begin()
        except FileExistsError:
            raise is_there_already(self._path) from None
        except OSError as error:
            raise ConfigurationError(f"{self._path} cannot be written: {error.strerror}") from None

    def _begin(self) -> None:
        try:
            self._append(line_of([*REJECT_COLUMNS, *self._fields]) + LINE_END)
        except OSError:
            self.close()  # a file without a header could not be told from anybody else's
            raise

    def write(self, record: Any, *, row: int, reason: str, field: str | None = None) -> None:
        """Write one record; one that is no mapping has its place and its reason only."""
        writing = hide(partial(self._write, record, row, reason, field))
        del record  # an exception carries this frame, and error trackers print its locals
        unseen(writing)

    def _write(self, record: Any, row: int, reason: str, field: str | None) -> None:
        cells = _cells(record) if isinstance(record, Mapping) else {}
        reason, field = _legible(str(reason)), _legible(field)
        if self._json:
            line = encode({"_row": row, "_reason": reason, "_field": field, **cells}).decode() + "\n"
        else:
            if not cells.keys() <= set(self._fields):
                self._widen([name for name in cells if name not in self._fields])
            line = line_of([row, reason, field or "", *(_cell(cells.get(name)) for name in self._fields)]) + LINE_END
        self._append(line)
        self.count += 1

    def write_problem(self, problem: Problem) -> None:
        """Write a record that a check held back, unless that was the caller's wish: a duplicate, or who has opted out.

        There is nothing to be mended in those, and whoever sends the file would text people twice, or against their
        will. ``write`` takes them, for a file that is not sent.
        """
        if problem.reason not in SKIPS:
            writing = hide(partial(self._write, problem.record, problem.row, problem.reason.value, problem.field))
            del problem  # as in write
            unseen(writing)

    def write_chunk(self, chunk: ChunkOutcome) -> None:
        """Write the records of a chunk that still has its body, with its outcome as the reason.

        A chunk whose outcome is ``unknown`` may have been sent, and one that is ``pending`` goes when a run with a
        journal goes on: who sends such records as well may reach people twice.
        """
        writing = hide(partial(self._write_chunk, chunk))
        del chunk  # as in write
        unseen(writing)

    def _write_chunk(self, chunk: ChunkOutcome) -> None:
        for row, record in chunk.records():
            self._write(record, row, chunk.outcome.value, None)

    def _append(self, line: str) -> None:
        """Write a line as a whole, or not at all: half a record may pass for one, with a text that breaks off."""
        written = line.encode()
        rest = memoryview(written)
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError:
            with contextlib.suppress(OSError):  # where it is no regular file
                self._file.truncate(self._whole)
            raise
        self._whole += len(written)

    def _widen(self, names: list[str]) -> None:
        """Give the header more columns, at its end; the rows there are get empty cells."""
        fields = [*self._fields, *names]
        wider = self._path.with_name(f".{self._path.name}.wider")
        try:
            self._copy(wider, line_of([*REJECT_COLUMNS, *fields]) + LINE_END, "," * len(names) + LINE_END)
        except OSError:
            with contextlib.suppress(OSError):
                wider.unlink()
            raise
        self._file.close()
        wider.replace(self._path)
        self._fields = fields
        self._file = self._path.open("ab", buffering=0)
        self._whole = self._path.stat().st_size

    def _copy(self, wider: Path, header: str, line_end: str) -> None:
        wider.unlink(missing_ok=True)  # what a killed program left, or a link that somebody has laid there
        # Not by csv.reader, which refuses cells as long as those of a record that was too large.
        raw = _create(wider, "x")
        with (
            self._path.open(encoding="utf-8", newline="\n") as narrow,
            io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", newline="") as file,
        ):
            file.write(header)
            in_header, quotes = True, 0
            for line in narrow:
                quotes += line.count('"')
                ends = quotes % 2 == 0 and line.endswith(LINE_END)  # and not within quotes
                if not in_header:
                    file.write(line.removesuffix(LINE_END) + line_end if ends else line)
                in_header = in_header and not ends

    def close(self) -> None:
        """Close the file, and remove it when nothing was written. Twice is fine."""
        if not self._file.closed:
            self._file.close()
            if not self.count and self._path.is_file():
                self._path.unlink()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()


def _create(path: Path, mode: str) -> io.FileIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_EXCL if mode == "x" else os.O_TRUNC)
    descriptor = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):  # a file that was there keeps its old mode otherwise
        os.chmod(descriptor if os.chmod in os.supports_fd else path, 0o600)  # noqa: PTH101  a path may lead elsewhere now
    return io.FileIO(descriptor, "ab")


def _cell(value: Any) -> str:
    """Return a value that JSON can hold as it stands in CSV."""
    if value is None:
        return ""
    written = encode(value)
    # Dates, decimals and enums are texts in JSON; in CSV a text has no quotes of its own.
    return str(msgspec.json.decode(written)) if written.startswith(b'"') else written.decode()


def _cells(record: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a record's fields as JSON can hold them; where that is not as they are, with the record in ``_raw``."""
    held = dict(record)
    if not _can_be_written(held, fault_of):
        legible = {_legible(name) if isinstance(name, str) else _spelt(name): _legible(held[name]) for name in held}
        held = {**legible, RAW_COLUMN: legible.get(RAW_COLUMN) or _raw(held, legible)}
    return {name: value for name, value in held.items() if name not in REJECT_COLUMNS}


def _can_be_written(value: Any, fault: Callable[[Any], object]) -> bool:
    try:
        return fault(value) is None and bool(encode(value))
    except Exception:  # noqa: BLE001  whatever it is that a value does when it is looked at
        return False


def _legible(value: Any) -> Any:
    """Return a value as it is where JSON can hold it, and spelt out otherwise."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value if value is None or _can_be_written(value, value_problem) else _spelt(value)


def _spelt(value: Any) -> str:
    try:
        return ascii(value)
    except Exception:  # noqa: BLE001  as above; one of thousands of digits, for one, has no decimal spelling
        return hex(value) if isinstance(value, int) else f"<{type(value).__name__}>"


def _raw(record: dict[Any, Any], legible: dict[str, Any]) -> str:
    try:
        return json.dumps(record, default=_spelt)  # which writes half a pair as it is meant, in escapes
    except (TypeError, ValueError, RecursionError):
        return json.dumps(legible, default=_spelt)
