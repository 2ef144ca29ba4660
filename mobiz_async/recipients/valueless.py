"""The cells of an .xlsx sheet that have no value: errors, and formulas that nothing has calculated yet.

The library that reads workbooks gives them as empty cells. A text that is short of a name would go out, and an opt-out
be lost, so the file is looked through for them; it is done for this kind of workbook only, not for .xls, .xlsb, .ods.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO
from xml.etree import ElementTree as ET

__all__ = ["UNREADABLE", "path_of_sheet", "valueless_cells"]

UNREADABLE = (zipfile.BadZipFile, zlib.error, KeyError, EOFError, SyntaxError, RuntimeError)
"""What is raised over a file that is no workbook of this kind, or is damaged."""

_BLOCK = 1 << 20
_LONGEST_CELL = 1 << 24
_MOST_DIRECTORY = 1 << 24
"""Bytes that the list of a workbook's sheets may have."""
_ROOT = re.compile(rb"<(\w+:)?worksheet\b").search
# Each begins with what is rare in a sheet, and the beginning of the cell is looked for from there.
# Nothing in them is looked through twice: a sheet may have a million blanks, or tags that do not end.
_TAG = rb"[^<>]{0,250}"
_FORMULA = rb"<%(p)bf\b(?:" + _TAG + rb"/>|" + _TAG + rb">[^<]*</%(p)bf>)"
_ERROR = rb"t=[\"']e[\"']" + _TAG + rb">\s*+(?:" + _FORMULA + rb")?\s*+(?:<%(p)bv>([^<]*)<)?"
_UNSET = rb"(?:<%(p)bv\s*+/>|<%(p)bv>\s*+</%(p)bv>)?\s*+</%(p)bc>"
_PATTERNS = (_ERROR, rb"</%(p)bf>()\s*+" + _UNSET, rb"<%(p)bf\b" + _TAG + rb"/>()\s*+" + _UNSET)
"""What a cell with an error has, and one with a formula that has no result; the group is what it shows."""
_TYPE = re.compile(rb"\bt=[\"'](\w+)").search
_REFERENCE = re.compile(rb"\br=[\"']([A-Z]+)([0-9]+)[\"']").search
_WORKBOOK = "xl/workbook.xml"
_RELATIONS = "xl/_rels/workbook.xml.rels"
_RELATION_ID = re.compile(r"\{http[^}]*/officeDocument/(?:2006/)?relationships\}id").fullmatch


def valueless_cells(stream: BinaryIO, sheet: str) -> dict[tuple[int, int], str] | None:
    """Return (row, column), from 0, of each cell without a value, and what it shows: ``#N/A``, or nothing.

    None where that cannot be told: in another kind of workbook.
    """
    try:
        with zipfile.ZipFile(stream) as workbook, workbook.open(path_of_sheet(workbook, sheet)) as part:
            return dict(_found(part))
    except UNREADABLE:
        return None


def path_of_sheet(workbook: zipfile.ZipFile, sheet: str) -> str:
    """Return where in the archive a sheet is; KeyError where that is not said."""
    ids = {}
    for element in _directory(workbook, _WORKBOOK).iter():
        if element.tag.endswith("}sheet"):
            ids[element.get("name")] = next(filter(None, (v for k, v in element.items() if _RELATION_ID(k))), None)
    targets = {element.get("Id"): element.get("Target", "") for element in _directory(workbook, _RELATIONS)}
    target = targets[ids[sheet]]
    return target[1:] if target.startswith("/") else f"xl/{target}"


def _directory(workbook: zipfile.ZipFile, name: str) -> ET.Element:
    with workbook.open(name) as part:
        return ET.fromstring(part.read(_MOST_DIRECTORY))  # noqa: S314  # expat itself bounds what entities grow to


def _found(part: IO[bytes]) -> Iterator[tuple[tuple[int, int], str]]:
    text = part.read(_BLOCK)
    named = _ROOT(text)
    prefix = (named[1] or b"") if named is not None else b""
    start, end = b"<%bc" % prefix, b"</%bsheetData>" % prefix
    patterns = [re.compile(pattern % {b"p": re.escape(prefix)}) for pattern in _PATTERNS]
    while text:
        block = part.read(_BLOCK) if end not in text else b""
        # Whole cells alone: up to where the last of them begins.
        cut = max(text.rfind(start), 0) if block and len(text) < _LONGEST_CELL else len(text)
        whole, text = text[:cut], text[cut:] + block
        for pattern in patterns:
            for found in pattern.finditer(whole):
                tag = whole[whole.rfind(start, 0, found.start()) : found.end()].partition(b">")[0]
                if (place := _place(tag, error=pattern is patterns[0])) is not None:
                    yield place, (found[1] or b"").decode(errors="replace")


def _place(tag: bytes, *, error: bool) -> tuple[int, int] | None:
    """Return the row and the column that the tag of a cell names, None where the cell has a value after all."""
    kind = _TYPE(tag)
    has_error = kind is not None and kind[1] == b"e"
    # Of type str, a formula without a result has one: an empty text.
    if has_error is not error or (kind is not None and kind[1] == b"str"):
        return None
    reference = _REFERENCE(tag)
    if reference is None:
        return None
    column = 0
    for letter in reference[1]:
        column = column * 26 + letter - ord("A") + 1
    return int(reference[2]) - 1, column - 1
