"""From a file's columns to a record's fields: names, templates, and the code that makes a slice of records at once.

A mapping says where each field comes from: ``{"Number": "cell", "Message": "Hi {first_name}, order {ref} is ready"}``.
A value that is a column's name is that column; any other is a template, in which ``{column}`` stands for a column and
``{{`` and ``}}`` for braces. With a mapping, only what it names goes into the records: columns that nobody asked for
are not sent to anybody.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any, cast

import attrs

from mobiz_async.errors import ConfigurationError, Reason

__all__ = [
    "NO_HEADER",
    "FieldSource",
    "UnfitError",
    "as_text",
    "build_from_mappings",
    "build_from_rows",
    "field_sources",
    "looks_like_data",
    "nameable",
    "named",
    "parse_assignments",
]

Build = Callable[[Iterable[Any]], list[dict[str, Any]]]
"""Makes records of rows. It raises ValueError, KeyError or TypeError at the first row that has not the right shape."""


NO_HEADER = "the first row looks like a recipient, so the file seems to have no header"
_RECIPIENT_DATA = re.compile(r"(?:\d[\s().-]*){5}|@|\d[.,]\d+[eE]\+?\d").search
_LONGEST_NAME = 60
"""Characters in a column's name at most that is shown: a longer one is rather somebody's message."""


@attrs.frozen
class FieldSource:
    """Where a field comes from: one column, or a template (a %-format) over some."""

    field: str
    columns: tuple[str, ...]
    template: str | None = None


def parse_assignments(assignments: Iterable[str]) -> dict[str, str]:
    """Return ``["Number=cell", "Message=Hi {name}"]``, as a command line has them, as a mapping.

    Raises:
        ConfigurationError: one has no ``=`` or names no field, or a field is named twice.

    """
    mapping: dict[str, str] = {}
    for assignment in assignments:
        field, equals, column = assignment.partition("=")
        if not equals or not field.strip():
            raise ConfigurationError("a mapping is written FIELD=COLUMN, or FIELD= and a text with {columns}")
        if field.strip() in mapping:
            raise ConfigurationError(f"field {field.strip()!r} is mapped twice")
        mapping[field.strip()] = column
    return mapping


def field_sources(
    mapping: Mapping[str, str] | None, header: Sequence[str] | None, drop: Collection[str] = ()
) -> tuple[FieldSource, ...]:
    """Return where each field comes from. Without a mapping each column of ``header`` but ``drop`` is its own field.

    ``header`` None: the columns are not known beforehand (JSON Lines), and a value without braces is a column's name.

    Raises:
        ConfigurationError: the mapping names a column that is not there, or a template cannot be read.

    """
    if mapping is None:
        return tuple(FieldSource(name, (name,)) for name in header or () if name not in drop)
    return tuple(_field_source(field, value, header) for field, value in mapping.items())


def _field_source(field: str, value: str, header: Sequence[str] | None) -> FieldSource:
    templated = "{" in value or "}" in value
    if value in (header or ()) or (header is None and not templated):
        return FieldSource(field, (value,))
    if not templated:
        raise ConfigurationError(f"field {field!r}: there is no column {value!r}{_those_there(header)}")
    columns: list[str] = []
    template = ""
    try:
        for literal, column, form, conversion in string.Formatter().parse(value):
            template += literal.replace("%", "%%")
            if form or conversion:
                raise ConfigurationError(f"field {field!r}: a template holds plain {{column}}s, without '!' or ':'")
            if column is not None:
                columns.append(column)
                template += "%s"
    except ValueError:
        raise ConfigurationError(f"field {field!r}: the braces of its template do not pair") from None
    for column in columns:
        if not column or (header is not None and column not in header):
            raise ConfigurationError(f"field {field!r}: there is no column {column!r}{_those_there(header)}")
    return FieldSource(field, tuple(columns), template)


def looks_like_data(header: Iterable[str]) -> bool:
    """Return whether a header seems to be the first recipient instead: none of it may be shown then."""
    return any(map(_RECIPIENT_DATA, header))


def nameable(column: str) -> bool:
    """Return whether a column's name may be shown: it is no data, and plays no tricks on a terminal."""
    return column.isprintable() and len(column) <= _LONGEST_NAME and not looks_like_data([column])


def named(header: Sequence[str]) -> str:
    """Return the columns there are, to be shown: by name, or by position where the name may not be."""
    shown = (name if nameable(name) else f"[column {place}]" for place, name in enumerate(header, start=1))
    return ", ".join(shown)


def _those_there(header: Sequence[str] | None) -> str:
    if not header:
        return ""
    return f"; {NO_HEADER}" if looks_like_data(header) else f"; there are: {named(header)}"


def build_from_rows(header: Sequence[str], sources: Sequence[FieldSource], *, typed: bool = False) -> Build:
    """Return what makes records of rows with a cell for each column of ``header``.

    ``typed``: cells may be other than text, and are made so in templates. ValueError for a row of another length.
    """
    places = {column: f"v{place}" for place, column in enumerate(header)}
    cells = "".join(f"v{place}, " for place in range(len(header)))
    return _compiled(sources, f"({cells})", places, typed=typed)


def build_from_mappings(sources: Sequence[FieldSource]) -> Build:
    """Return what makes records of mappings. KeyError for one in which a column is missing."""
    names = dict.fromkeys(column for source in sources for column in source.columns)
    places = {column: f"r[c{place}]" for place, column in enumerate(names)}
    constants = {f"c{place}": column for place, column in enumerate(names)}
    return _compiled(sources, "r", places, typed=True, **constants)


def _compiled(
    sources: Sequence[FieldSource], target: str, places: Mapping[str, str], *, typed: bool, **constants: str
) -> Build:
    # A dict display in a comprehension, written out for these columns, is twice as fast as dict(zip(...)). The code is
    # made of numbered names only: what the user wrote comes in as values.
    names: dict[str, Any] = {"s": as_text, **constants}
    entries: list[str] = []
    for place, source in enumerate(sources):
        names[f"k{place}"] = source.field
        value = places[source.columns[0]] if source.template is None else ""
        if source.template is not None:
            names[f"t{place}"] = source.template
            cells = [f"s({places[column]})" if typed else places[column] for column in source.columns]
            value = f"t{place} % ({''.join(f'{cell}, ' for cell in cells)})"
        entries.append(f"k{place}: {value}")
    code = f"lambda rows: [{{{', '.join(entries)}}} for {target} in rows]"
    build: Build = eval(code, names)  # noqa: S307  # see above: no text of the user's is in it
    return build


class UnfitError(TypeError):
    """A value has no place in a text; ``reason`` says why."""

    def __init__(self, reason: Reason) -> None:
        """Take the reason."""
        super().__init__(reason.value)
        self.reason = reason


def as_text(value: object) -> str:
    """Return ``value`` as a template shows it, which is how a spreadsheet writes it: nothing for null, TRUE, 1234, 0.5.

    Raises:
        UnfitError: it is neither text, a number, a boolean nor null: people would be sent a Python spelling of it.

    """
    kind = type(value)  # by far the quickest way, and there is one call for each value
    if kind is str:
        return cast("str", value)
    if value is None:
        return ""
    if kind is int:
        return str(value)
    return _other_as_text(value)


def _other_as_text(value: object) -> str:
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case float():
            return _float_as_text(value)
        case bytes():
            raise UnfitError(Reason.BINARY)
        case _:
            raise UnfitError(Reason.NOT_TEXT)


_EXACT = 1 << 53
"""Whole numbers up to it are exact in a float."""


def _float_as_text(value: float) -> str:
    if not isfinite(value):
        raise UnfitError(Reason.NOT_FINITE)
    if value.is_integer() and abs(value) <= _EXACT:
        return str(int(value))
    # What a sum is off by stands behind the 15 digits that a spreadsheet shows: 1.1 * 3 is 3.3 and not
    # 3.3000000000000003.
    text = format(value, ".15g")
    return format(Decimal(text), "f") if "e" in text else text
