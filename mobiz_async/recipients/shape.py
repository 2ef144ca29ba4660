"""The first stage: whatever the caller holds becomes plain dicts that are safe to write as JSON.

A record is a mapping, an attrs, dataclass, msgspec, pydantic or named-tuple instance, or a bare number. JSON encoders
let some values through that nobody means: bytes become base64, NaN becomes null, integer keys become text. Each is
refused here, by row and field.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

import attrs
import msgspec

from mobiz_async.errors import Reason
from mobiz_async.recipients.stages import BadRecord, Problem, Stage, Staged, only_good

__all__ = ["METADATA_KEY", "shape_stage"]

METADATA_KEY = "mobiz"
"""``attrs.field(metadata={"mobiz": "Number"})`` (or a dataclass's) names the field as the API is to see it."""

_HARMLESS = frozenset({str, int, bool, type(None)})
_values = dict.values
_encode = msgspec.json.Encoder().encode

Convert = Callable[[Any], dict[Any, Any]]


def shape_stage(
    number_field: str | None = "Number",
    *,
    common: Mapping[str, Any] | None = None,
    rename: Mapping[str, str] | None = None,
) -> Stage:
    """Return the stage that makes records into dicts and refuses what JSON would garble.

    ``number_field`` must be present and not blank in each record (None: not asked for, as with triggers, whose columns
    the engagement names). ``common`` holds fields for every record, which its own fields override. ``rename`` maps
    names the records use to names the API is to see.
    """
    converters: dict[type, Convert | None] = {}
    shared = dict(common or {})
    names = dict(rename or {})
    number = itemgetter(number_field) if number_field is not None else None

    def convert(record: Any) -> dict[Any, Any] | None:
        kind = type(record)
        if kind not in converters:
            converters[kind] = _converter(kind, number_field)
        make = converters[kind]
        made = make(record) if make is not None else None
        if made is not None and names:
            made = {names.get(key, key): value for key, value in made.items()}
        return {**shared, **made} if made is not None and shared else made

    def stage(records: list[Any], rows: Sequence[int]) -> Staged:
        problems: list[Problem] = []
        if shared or names or set(map(type, records)) != {dict}:
            made = list(map(convert, records))
            if None in made:
                paired = zip(made, records, rows, strict=True)
                problems = [_unmade(record, row) for good, record, row in paired if good is None]
                rows = [row for good, row in zip(made, rows, strict=True) if good is not None]
            records = [record for record in made if record is not None]
        if _all_good(records, number):
            return Staged(records, rows, problems)
        staged = only_good(records, rows, lambda record: _diagnose(record, number_field))
        return Staged(staged.records, staged.rows, problems + staged.problems)

    return stage


def _all_good(records: list[dict[Any, Any]], number: Callable[[Any], Any] | None) -> bool:
    # Three passes at C speed. A join refuses anything that is not text, which is cheaper than asking for each type.
    try:
        if number is not None and not all(map(str.strip, map(number, records))):
            return False
        "".join(set().union(*records))
        "".join(chain.from_iterable(map(_values, records)))
    except (TypeError, KeyError):
        return _all_harmless(records, number)
    return True


def _all_harmless(records: list[dict[Any, Any]], number: Callable[[Any], Any] | None) -> bool:
    # The same for slices in which some values are whole numbers, booleans or null.
    try:
        "".join(set().union(*records))
        if number is not None and not all(map(str.strip, map(str, map(_not_null, map(number, records))))):
            return False
    except (TypeError, KeyError):
        return False
    return set(map(type, chain.from_iterable(map(_values, records)))) <= _HARMLESS


def _not_null(value: object) -> object:
    return "" if value is None or value is False or value is True else value


def _unmade(record: Any, row: int) -> Problem:
    if isinstance(record, BadRecord):
        return Problem(row, record.field, record.reason)
    return Problem(row, None, Reason.NOT_A_RECORD, record)


def _diagnose(record: dict[Any, Any], number_field: str | None) -> tuple[str | None, Reason] | None:
    for key in record:
        if not isinstance(key, str):
            return None, Reason.KEY_NOT_TEXT
    if number_field is not None:
        if number_field not in record:
            return number_field, Reason.MISSING
        if not str(_not_null(record[number_field])).strip():
            return number_field, Reason.EMPTY
    for key, value in record.items():
        if (reason := _value_problem(value)) is not None:
            return key, reason
    return None


def _value_problem(value: Any) -> Reason | None:
    match value:
        case str():
            return _encoding_problem(value)
        case float():
            return None if math.isfinite(value) else Reason.NOT_FINITE
        case bytes() | bytearray() | memoryview():
            return Reason.BINARY
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                return Reason.KEY_NOT_TEXT
            return next(filter(None, map(_value_problem, value.values())), None)
        case list() | tuple() | set() | frozenset():
            return next(filter(None, map(_value_problem, value)), None)
    return _encoding_problem(value)


def _encoding_problem(value: Any) -> Reason | None:
    try:
        _encode(value)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError):
        return Reason.NOT_ENCODABLE
    return None


def _converter(kind: type, number_field: str | None) -> Convert | None:
    """Return how an instance of ``kind`` becomes a dict, or None where it cannot be a record."""
    if issubclass(kind, BadRecord):
        return None
    if issubclass(kind, str):
        return None if number_field is None else lambda number: {number_field: str(number)}
    if issubclass(kind, dict):
        return lambda record: record
    if issubclass(kind, Mapping):
        return dict
    if attrs.has(kind):
        fields = attrs.fields(kind)
        return _by_attribute({field.name: field.metadata.get(METADATA_KEY, field.name) for field in fields})
    if dataclasses.is_dataclass(kind):
        return _by_attribute({f.name: f.metadata.get(METADATA_KEY, f.name) for f in dataclasses.fields(kind)})
    if issubclass(kind, msgspec.Struct):
        return _by_attribute(dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)))
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _by_attribute({name: name for name in kind._fields})
    if hasattr(kind, "model_fields") and hasattr(kind, "model_dump"):
        # pydantic, recognised without importing it; its own dump knows secrets, aliases and nested models.
        return lambda record: record.model_dump(mode="json", by_alias=True)
    return None


def _by_attribute(names: dict[str, str]) -> Convert:
    wanted = tuple(names.values())
    if len(names) == 1:
        single = attrgetter(*names)
        return lambda record: {wanted[0]: single(record)}
    if not names:
        return lambda _: {}
    several = attrgetter(*names)
    return lambda record: dict(zip(wanted, several(record), strict=True))
