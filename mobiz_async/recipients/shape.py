"""The first stage: whatever the caller holds becomes plain dicts that are safe to write as JSON.

A record is a mapping, an attrs, dataclass, msgspec, pydantic or named-tuple instance, or a bare number. JSON encoders
let some values through that nobody means: bytes become base64, NaN becomes null, integer keys become text. Each is
refused here, by row and field.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Annotated, Any, Union

import attrs
import msgspec

from mobiz_async.errors import Reason
from mobiz_async.recipients.stages import BadRecord, Problem, Stage, Staged, only_good

__all__ = ["METADATA_KEY", "shape_stage"]

METADATA_KEY = "mobiz"
"""``attrs.field(metadata={"mobiz": "Number"})`` (or a dataclass's) names the field as the API is to see it."""

_HARMLESS = frozenset({str, int, bool, float, type(None)})
_NOT_EMPTY = Annotated[str, msgspec.Meta(min_length=1)]
_SCHEMA_FIELDS = 200
_SCHEMA_CHANGES = 16
"""How often a schema may be widened: a source whose fields change all the time is checked column by column."""
_values = dict.values
_convert = msgspec.convert
_encode = msgspec.json.Encoder().encode

Convert = Callable[[Any], dict[Any, Any]]


def shape_stage(
    number_field: str | None = "Number",
    *,
    common: Mapping[str, Any] | None = None,
    rename: Mapping[str, str] | None = None,
) -> Stage:
    """Return the stage that makes records into dicts and refuses what JSON would garble.

    ``number_field`` must be present and not empty in each record (None: not asked for, as with triggers, whose columns
    the engagement names). ``common`` holds fields for every record, which its own fields override. ``rename`` maps
    names the records use to names the API is to see.
    """
    converters: dict[type, Convert | None] = {}
    shared = dict(common or {})
    names = dict(rename or {})
    check = _Check(number_field)

    def convert(record: Any) -> dict[Any, Any] | None:
        kind = type(record)
        if kind not in converters:
            converters[kind] = _converter(kind, number_field)
        make = converters[kind]
        made = make(record) if make is not None else None
        if made is not None and names:
            made = {names.get(key, key): value for key, value in made.items()}
        return {**shared, **made} if made is not None and shared else made

    as_they_are = not shared and not names

    def stage(records: list[Any], rows: Sequence[int]) -> Staged:
        if as_they_are and records and type(records[0]) is dict and check.by_schema(records):
            return Staged(records, rows, [])
        problems: list[Problem] = []
        if not as_they_are or set(map(type, records)) != {dict}:
            made = list(map(convert, records))
            if None in made:
                paired = zip(made, records, rows, strict=True)
                problems = [_unmade(record, row) for good, record, row in paired if good is None]
                rows = [row for good, row in zip(made, rows, strict=True) if good is not None]
            records = [record for record in made if record is not None]
        if check(records):
            return Staged(records, rows, problems)
        staged = only_good(records, rows, lambda record: _diagnose(record, number_field))
        return Staged(staged.records, staged.rows, problems + staged.problems)

    return stage


class _Check:
    """Whether every record of a slice is good, at C speed; False means: look at each.

    Records of one source mostly look alike. So a schema is made of those seen, and msgspec validates a slice against
    it in one pass, which costs about what encoding it does. A slice that does not fit is checked column by column, and
    where that finds it good, it widens the schema.
    """

    def __init__(self, number_field: str | None) -> None:
        self._field = number_field
        self._number = itemgetter(number_field) if number_field is not None else None
        self._kinds: dict[str, set[type]] = {}
        """Field -> what it has held; ``UnsetType`` among them where a record went without it."""
        self._floats: list[str] = []
        self._schema: Any = None
        self._changes = 0

    def __call__(self, records: list[dict[Any, Any]]) -> bool:
        return self.by_schema(records) or self._by_columns(records)

    def by_schema(self, records: list[Any]) -> bool:
        if self._schema is None:
            return False
        try:
            _convert(records, self._schema)
        except (msgspec.ValidationError, UnicodeEncodeError, RecursionError):
            return False
        return not self._floats or _all_finite(records, self._floats)

    def _by_columns(self, records: list[dict[Any, Any]]) -> bool:
        try:
            fields = set().union(*records)
            "".join(fields)  # a join refuses anything that is not text
            if self._number is not None and not all(map(str, map(_not_null, map(self._number, records)))):
                return False
        except (TypeError, KeyError):
            return False
        kinds = set(map(type, chain.from_iterable(map(_values, records))))
        if not kinds <= _HARMLESS or (float in kinds and not _all_finite(records, fields)):
            return False
        if self._changes < _SCHEMA_CHANGES and records:
            self._widen(records)
        return True

    def _widen(self, records: list[dict[str, Any]]) -> None:
        self._changes += 1
        known, self._kinds = self._kinds, {field: set() for record in records for field in record} | self._kinds
        if len(self._kinds) > _SCHEMA_FIELDS:
            self._schema, self._changes = None, _SCHEMA_CHANGES
            return
        for field, kinds in self._kinds.items():
            kinds.update(type(record.get(field, msgspec.UNSET)) for record in records)
            if known and field not in known:
                kinds.add(msgspec.UnsetType)
        self._floats = [field for field, kinds in self._kinds.items() if float in kinds]
        members: list[Any] = []
        for position, (field, kinds) in enumerate(self._kinds.items()):
            allowed = [_NOT_EMPTY if kind is str and field == self._field else kind for kind in kinds]
            name, kind = f"f{position}", Union[tuple(allowed)]  # noqa: UP007  made at run time
            if msgspec.UnsetType in kinds:
                members.append((name, kind, msgspec.UNSET))
            else:
                members.insert(0, (name, kind))
        rename = {f"f{position}": field for position, field in enumerate(self._kinds)}
        made = msgspec.defstruct("Record", members, rename=rename, forbid_unknown_fields=True, gc=False)
        self._schema = list[made]  # type: ignore[valid-type]  # made at run time


def _all_finite(records: Iterable[Mapping[str, Any]], fields: Iterable[str]) -> bool:
    return all(_finite(record, fields) for record in records)


def _finite(record: Mapping[str, Any], fields: Iterable[str]) -> bool:
    return all(math.isfinite(value) for field in fields if type(value := record.get(field)) is float)


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
        if _not_null(record[number_field]) == "":
            return number_field, Reason.EMPTY
    for key, value in record.items():
        try:
            reason = _value_problem(value)
        except RecursionError:  # it contains itself, or as good as
            reason = Reason.NOT_ENCODABLE
        if reason is not None:
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
    return lambda record: dict(zip(wanted, several(record)))  # noqa: B905  as many as were asked for, and twice as fast
