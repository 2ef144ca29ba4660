"""Records as people hold them, made into dicts: mappings, instances of classes with fields, bare numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

import attrs
import msgspec

from mobiz_async.errors import Reason
from mobiz_async.recipients.keyed import dict_of, name_given_twice
from mobiz_async.recipients.stages import BadRecord

__all__ = ["METADATA_KEY", "Held"]

METADATA_KEY = "mobiz"
"""``attrs.field(metadata={"mobiz": "Number"})`` (or a dataclass's) names the field as the API is to see it."""

Convert = Callable[[Any], dict[Any, Any] | None]


class Held:
    """Makes dicts of whatever the caller holds, with common fields added and fields renamed."""

    def __init__(self, number_field: str | None, common: Mapping[str, Any], rename: Mapping[str, str]) -> None:
        """``number_field`` is what a bare number is (None: a bare number is no record)."""
        self._number_field = number_field
        self._common = _set_only(dict(common))
        self._rename = dict(rename)
        self._converters: dict[type, Convert | None] = {}
        self._attributes: dict[type, dict[str, str] | None] = {}
        self._twice: dict[type, str] = {}
        """A class -> the field that two of its attributes are for."""

    @property
    def as_they_are(self) -> bool:
        """Whether a dict is not to be changed."""
        return not self._common and not self._rename

    def attributes(self, kind: type) -> dict[str, str] | None:
        """Return attribute -> field of an attrs, data or msgspec class; None of others, and where two are one field."""
        if kind not in self._attributes:
            attributes = _attributes(kind)
            fields = [*attributes.values()] if attributes is not None else []
            if len(set(fields)) < len(fields):
                self._twice[kind] = next(field for field in fields if fields.count(field) > 1)
                attributes = None
            self._attributes[kind] = attributes
        return self._attributes[kind]

    def dicts(self, records: list[Any], kinds: set[type]) -> list[dict[Any, Any] | None]:
        """Return a dict for each record, or None for what is none or cannot be renamed. ``kinds`` are the records'."""
        if kinds == {str} and self._number_field is not None and not self._rename:
            return [{**self._common, self._number_field: number} for number in records]
        made = records if kinds == {dict} else self._converted(records, kinds)
        if self._rename:
            made = list(map(self._renamed, made))
        if self._common:
            made = [one if one is None else {**self._common, **one} for one in made]
        return made

    def _converted(self, records: list[Any], kinds: set[type]) -> list[dict[Any, Any] | None]:
        if len(kinds) != 1:
            return list(map(self._convert, records))
        (kind,) = kinds
        convert = self._converter_of(kind)
        return list(map(convert, records)) if convert is not None else [None] * len(records)

    def set_only(self, records: list[Any]) -> list[Any]:
        """Return records as they are held, those that can be dicts as dicts without what is ``msgspec.UNSET``."""
        made = zip(records, map(self._convert, records), strict=True)
        return [record if one is None else _set_only(one) for record, one in made]

    def refusal(self, record: Any) -> tuple[str | None, Reason, Any]:
        """Return why there is no dict of a record: the field at fault, the reason, and the record, as a dict if can be.

        The field is the name that two of them would have once they are renamed, or that two attributes are given.
        """
        held = self._convert(record)
        if type(record) in self._twice:
            return self._twice[type(record)], Reason.SAME_NAME, record
        if held is None:
            if (name := name_given_twice(record)) is not None:
                return name, Reason.SAME_NAME, record
            known = self._converters[type(record)] is not None
            return None, Reason.NOT_ENCODABLE if known else Reason.NOT_A_RECORD, record
        names = [self._rename.get(key, key) for key in _set_only(held)]
        return next(name for name in self._rename.values() if names.count(name) > 1), Reason.SAME_NAME, held

    def _renamed(self, record: dict[Any, Any] | None) -> dict[Any, Any] | None:
        if record is None:
            return None
        rename = self._rename.get
        renamed = {rename(key, key): value for key, value in record.items()}
        if len(renamed) == len(record):
            return renamed
        there = _set_only(record)
        if len(there) < len(record):
            return self._renamed(there)
        return None  # two of one name: neither is to be dropped

    def _convert(self, record: Any) -> dict[Any, Any] | None:
        convert = self._converter_of(type(record))
        return convert(record) if convert is not None else None

    def _converter_of(self, kind: type) -> Convert | None:
        if kind not in self._converters:
            self._converters[kind] = self._converter(kind)
        return self._converters[kind]

    def _converter(self, kind: type) -> Convert | None:
        """Return how an instance of ``kind`` becomes a dict, or None where it cannot be a record."""
        if issubclass(kind, BadRecord):
            return None
        if issubclass(kind, str):
            number_field = self._number_field
            return None if number_field is None else lambda number: {number_field: str.__str__(number)}
        if kind is dict:
            return lambda record: record
        if issubclass(kind, Mapping):
            return dict
        attributes = self.attributes(kind)
        if attributes is not None:
            return _by_attribute(attributes)
        if kind in self._twice:
            return None
        if hasattr(kind, "model_fields") and hasattr(kind, "model_dump"):
            # pydantic, recognised without importing it; its own dump knows secrets, aliases and nested models.
            return _dump
        return dict_of(kind)


def _set_only(record: dict[Any, Any]) -> dict[Any, Any]:
    return {field: value for field, value in record.items() if value is not msgspec.UNSET}


def _dump(record: Any) -> dict[Any, Any] | None:
    try:
        return record.model_dump(mode="json", by_alias=True)  # type: ignore[no-any-return]  # of a class not imported
    except ValueError:  # it holds what JSON cannot; pydantic's own exception quotes it
        return None


def _attributes(kind: type) -> dict[str, str] | None:
    fields: Iterable[Any]
    if issubclass(kind, (BadRecord, str, Mapping)):
        return None  # they are taken for something else, whatever they are besides
    if attrs.has(kind):
        fields = attrs.fields(kind)
    elif dataclasses.is_dataclass(kind):
        fields = dataclasses.fields(kind)
    elif issubclass(kind, msgspec.Struct):
        return dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    else:
        return None
    return {field.name: field.metadata.get(METADATA_KEY, field.name) for field in fields}


def _by_attribute(names: dict[str, str]) -> Convert:
    at_once = _all_attributes(names)

    def convert(record: Any) -> dict[Any, Any]:
        try:
            return at_once(record)
        except AttributeError:  # one that was never set is a field that is missing
            pass
        # Out here, so that what raises now does not carry the frames of the first try.
        return {field: getattr(record, name) for name, field in names.items() if hasattr(record, name)}

    return convert


def _all_attributes(names: dict[str, str]) -> Callable[[Any], dict[Any, Any]]:
    wanted = tuple(names.values())
    if len(names) == 1:
        single = attrgetter(*names)
        return lambda record: {wanted[0]: single(record)}
    if not names:
        return lambda _: {}
    several = attrgetter(*names)
    return lambda record: dict(zip(wanted, several(record)))  # noqa: B905  as many as were asked for, and twice as fast
