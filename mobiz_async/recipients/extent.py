"""What a workbook would take, found out before the library that reads workbooks takes it.

It holds a sheet as a rectangle, from A1 to the last cell on the right and the last one below, and ends the process
where there is no memory for that: a file of 1.5 kB with one cell in the last corner of a sheet would. A part of the
archive may be a thousand times as large as it is packed. So both are bounded. (An .xls file is not packed, and holds
65,536 rows.)
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from typing import IO, BinaryIO

from mobiz_async.recipients.valueless import UNREADABLE, path_of_sheet

__all__ = ["MOST_BYTES", "MOST_CELLS", "refusal_of_parts", "refusal_of_sheet"]

MOST_BYTES = 1 << 30
"""Of one part of a workbook, unpacked."""
MOST_CELLS = 1 << 25
"""Of a sheet: as many rows as Excel has, of 32 columns. The library that reads it takes a gigabyte for them."""

_PARTS = frozenset({"[Content_Types].xml", "content.xml"})
"""Of which each workbook has one: Excel's, OpenDocument's."""
_ROWS, _COLUMNS = 1 << 20, 1 << 14
"""What Excel has."""
_BLOCK = 1 << 20
_LONGEST_TEXT = 1 << 24
"""Between two tags; a cell's has 32,767 characters."""
_MOST_PACKED = 1032
"""How many times as large as it is packed something may be at most, by deflate."""
_PROTOTYPE = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ123456789\t\r\n/>", b"A" * 26 + b"0" * 9 + b" " * 5)
"""A1 becomes A0, and XFD1048576 AAA0000000, and a name ends with a blank: what can be looked for at the speed of C."""
_REFERENCES = re.compile(rb"(?<![\w:])r\s*=\s*[\"']([A-Za-z]*)([0-9]+)[\"']").findall
_UNSAID = re.compile(rb"<(?:[^\s<>/:]+:)?c(?=[\s/>])(?! r=[\"'])").findall
"""Tags of cells that do not begin with where they are; some may say it all the same."""
_ROW = re.compile(rb"<(?:[^\s<>/:]+:)?row(?=[\s/>])").split
_ROOT = re.compile(rb"<(\w+:)?worksheet\b").search


def refusal_of_parts(stream: BinaryIO) -> str | None:
    """Return why an archive is no workbook, or one too large to be opened; None of what is no archive, too."""
    try:
        with zipfile.ZipFile(stream) as workbook:
            if _PARTS.isdisjoint(workbook.namelist()):
                return "it is a ZIP archive, and no workbook; unpack it first"
            for part in workbook.infolist():
                # What an archive says of its sizes need not be true; what it may come to, deflate bounds.
                may_be = part.compress_size * _MOST_PACKED
                if part.file_size > MOST_BYTES or (may_be > MOST_BYTES and not _ends_in_time(workbook, part)):
                    return f"it has a part of more than {MOST_BYTES:,} bytes, unpacked"
    except UNREADABLE:
        pass  # whoever reads it tells
    return None


def _ends_in_time(workbook: zipfile.ZipFile, part: zipfile.ZipInfo) -> bool:
    """Return whether a part is no longer than it says; more than that is not read of it, and then its sum is wrong."""
    try:
        with workbook.open(part) as packed:
            while packed.read(_BLOCK):
                pass
    except zipfile.BadZipFile:
        return False
    return True


def refusal_of_sheet(stream: BinaryIO, sheet: str) -> str | None:
    """Return why a sheet of an .xlsx file is too large to be read; None where it is not, or it is another kind."""
    try:
        with zipfile.ZipFile(stream) as workbook:
            path = path_of_sheet(workbook, sheet)
            with workbook.open(path) as part:
                rows, columns = _bounds(part)
            if rows * columns > MOST_CELLS:
                with workbook.open(path) as part:
                    rows, columns = _extent(part)
    except UNREADABLE:
        return None
    if _fits(rows, columns):
        return None
    return (
        f"its sheet has {rows:,} rows and {columns:,} columns, counted to the last cell that is not empty: more than "
        f"{MOST_CELLS:,} cells. Delete what lies outside of the table, or save the sheet as CSV"
    )


def _blocks(part: IO[bytes]) -> Iterator[bytes]:
    """Yield a sheet in pieces, each up to the beginning of a tag."""
    text = part.read(_BLOCK)
    while text:
        block = part.read(_BLOCK)
        cut = max(text.rfind(b"<"), 0) if block and len(text) < _LONGEST_TEXT else len(text)
        yield text[:cut]
        text = text[cut:] + block


def _bounds(part: IO[bytes]) -> tuple[int, int]:
    """Return rows and columns of which a sheet has no more; quickly, where there are none beyond ZZ."""
    rows, columns = 99_999, 26
    begin = b""
    for block in _blocks(part):
        if not begin:
            named = _ROOT(block)
            tag = b"<%bc" % ((named[1] or b"") if named is not None else b"")
            begin = tag + b' r="'
            two_letters = re.compile(tag + rb'[\s/>]r="([A-Z]{2})[0-9]').findall  # that blank may be any that XML has
            # Of two in one tag, which is no XML, the library takes the last.
            elsewhere = re.compile(rb"r(?<![\w:]r)(?<!%b r) *= *[\"'][A-Za-z]" % tag).search
        alike = block.translate(_PROTOTYPE)
        cells = alike.count(b"<c ") + (alike.count(b":c ") if b":" in alike else 0)  # the latter takes long
        if cells != alike.count(begin + b"A") or elsewhere(alike):
            return _ROWS, _COLUMNS  # some are spelt in another way, or do not say where they stand
        if b'"A000000' in alike:
            if b'"A0000000' in alike:
                return _ROWS, _COLUMNS
            rows = 999_999
        if b'"AA' in alike:  # as it is where it says encoding="UTF-8"
            if begin + b"AAA" in alike or b'"AA0000000' in alike:
                return _ROWS, _COLUMNS
            rows = 999_999 if b'"AA000000' in alike else rows
            columns = max([columns, *map(_number, set(two_letters(block)))])
    return rows, columns


def _extent(part: IO[bytes]) -> tuple[int, int]:
    """Return the last row and the last column, by what cells say, and where they do not, by what may be there."""
    row = column = rows = widest = 0
    unsaid = [0]
    for block in _blocks(part):
        for letters, digits in set(_REFERENCES(block)):
            row, column = max(row, int(digits[:12])), max(column, _number(letters))
        first, *others = _ROW(block)
        unsaid = [unsaid[-1] + len(_UNSAID(first)), *(len(_UNSAID(other)) for other in others)]
        rows, widest = rows + len(others), max(widest, *unsaid)
        if not _fits(max(row, rows), max(column, widest)):
            break
    # Who counts on from a row that says its number may come to twice as many, and no further.
    return max(row, rows), max(column, widest)


def _fits(rows: int, columns: int) -> bool:
    return rows <= _ROWS and columns <= _COLUMNS and rows * columns <= MOST_CELLS


def _number(letters: bytes) -> int:
    column = 0
    for letter in letters.upper()[:9]:
        column = column * 26 + letter - ord("A") + 1
    return column
