"""Named tuples, and rows as database drivers give them: no mappings by their class, but with names for their values.

``sqlite3.Row`` and asyncpg's ``Record`` have what ``dict`` asks of a mapping; SQLAlchemy's ``Row`` becomes a dict as a
named tuple does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["dict_of", "is_one_record", "name_given_twice", "refuse_one_record"]


def dict_of(kind: type) -> Callable[[Any], dict[Any, Any] | None] | None:
    """Return how rows of ``kind`` become dicts, or None where it is no such class.

    A row with two fields of one name becomes None: drivers differ in which of them a dict would have.
    """
    if _is_named_tuple(kind):
        names = kind._fields  # type: ignore[attr-defined]  # known by them
        return lambda row: dict(zip(names, row))  # noqa: B905  as many, by their class
    if _is_row(kind):
        return lambda row: _whole(row, dict(row._asdict()))
    if _is_keyed(kind):
        return lambda row: _whole(row, dict(row))
    return None


def name_given_twice(record: Any) -> str | None:
    """Return the first name that a row has two fields of; None where there is none, or it is no row."""
    kind = type(record)
    if not _is_row(kind) and not _is_keyed(kind):
        return None
    names = list(record.keys() if _is_keyed(kind) else getattr(record, "_fields", ()))
    return next((str(name) for place, name in enumerate(names) if name in names[:place]), None)


def _whole(row: Any, made: dict[Any, Any]) -> dict[Any, Any] | None:
    return made if not hasattr(row, "__len__") or len(row) == len(made) else None


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _is_keyed(kind: type) -> bool:
    """Return whether ``dict`` takes instances for mappings."""
    return callable(getattr(kind, "keys", None)) and hasattr(kind, "__getitem__")


def _is_row(kind: type) -> bool:
    """Return whether instances give themselves as a dict the way named tuples do."""
    return callable(getattr(kind, "_asdict", None))


def _is_frame(kind: type) -> bool:
    """Return whether instances are data frames: those of polars have no ``keys``, and give their columns as series."""
    return hasattr(kind, "columns") and hasattr(kind, "shape")


def refuse_one_record(source: object) -> None:
    """Raise ``TypeError`` where ``source`` can be iterated, and gives something else than records."""
    if isinstance(source, (str, bytes, bytearray)) or is_one_record(source):
        raise TypeError("records must be an iterable of records, not a single text or record, nor a data frame")


def is_one_record(source: object) -> bool:
    """Return whether ``source`` has names for what it holds, so that to iterate it would give its keys or its values.

    So does a data frame, whose names are those of its columns. A series does not, whose keys are places.
    """
    kind = type(source)
    if issubclass(kind, Mapping) or _is_named_tuple(kind) or _is_row(kind) or _is_frame(kind):
        return True
    return _is_keyed(kind) and isinstance(next(iter(source.keys()), None), str)  # type: ignore[attr-defined]  # known by it
