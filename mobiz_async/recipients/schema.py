"""The schema of a source, learnt from its records: it checks whole slices in one pass, and has them written faster.

Records of one source mostly look alike. msgspec fits a slice to what was seen so far, which is a check (these fields,
each of a kind it has held before), and what comes of it is written as JSON in two thirds of the time that dicts take.

Fitted records are written with their fields in one order: that in which the source first showed them. So the bytes of a
record depend on the records before it and not on where its slice began, which is a matter of timing; a journal that
compares bytes relies on that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Union

import msgspec

__all__ = ["HARMLESS", "Fitted", "Schema", "plain"]

HARMLESS = frozenset({str, int, bool, float, type(None)})
"""Kinds of value that JSON has a form of its own for. (A float may still be none: see ``shape``.)"""

_FITTING = HARMLESS - {float} | {msgspec.UnsetType}
"""Kinds a schema may hold. Where it held floats, msgspec would make floats of decimals too."""
_NOT_EMPTY = Annotated[str, msgspec.Meta(min_length=1)]
_MOST_FIELDS = 200
_MOST_CHANGES = 16
"""How often a schema may be widened: a source whose fields change all the time is better off without one."""
_convert = msgspec.convert


class Fitted(msgspec.Struct):
    """A record that fits a schema. Each schema, and each class of records under it, has a class of its own."""

    # Other names could be those of a caller's attributes.
    __attributes__: ClassVar[Mapping[str, str]]
    """Field -> the attribute that holds it."""
    __kinds__: ClassVar[Mapping[str, frozenset[type]]]
    """Field -> what it may hold; ``UnsetType`` among them where a record may go without it."""


def plain(records: list[Any]) -> list[Any]:
    """Return fitted records as dicts, and any others as they are."""
    return [msgspec.to_builtins(record) if isinstance(record, Fitted) else record for record in records]


class Schema:
    """What the records of one source have looked like so far."""

    def __init__(self, number_field: str | None) -> None:
        """``number_field`` must not be empty text in any record (None: no such field)."""
        self._number_field = number_field
        self._places: dict[str, int] = {}
        self._kinds: dict[str, set[type]] = {}
        self._changes = 0
        self._slices: dict[type, Any] = {}

    def fit(
        self, records: list[Any], kind: type = dict, fields: Mapping[str, str] | None = None
    ) -> list[Fitted] | None:
        """Return the records fitted, or None where one of them does not fit. They must be of ``kind``, all of them.

        (Of another mapping than a dict, msgspec takes the fields it looks for and passes over the rest.) ``kind`` is
        dict, or a class of which ``fields`` are: attribute -> field.
        """
        if kind not in self._slices:
            self._slices[kind] = self._slice_of(fields)
        if self._slices[kind] is None:
            return None
        try:
            fitted: list[Fitted] = _convert(records, self._slices[kind], from_attributes=fields is not None)
        except (msgspec.ValidationError, UnicodeEncodeError, RecursionError):
            return None
        return fitted

    def learn(self, records: list[dict[str, Any]]) -> None:
        """Let records, which are good, fit from now on, unless too much would have to."""
        self._note(records)
        if self._changes >= _MOST_CHANGES or not records:
            return
        self._changes += 1
        known, self._kinds = self._kinds, {field: set() for field in self._places} | self._kinds
        for field, kinds in self._kinds.items():
            kinds.update(type(record.get(field, msgspec.UNSET)) for record in records)
            if known and field not in known:
                kinds.add(msgspec.UnsetType)
        self._slices.clear()

    def in_order(self, records: list[dict[str, Any]]) -> list[Any]:
        """Return records, which are good, as they are to be written: fitted, or with their fields in order."""
        self._note(records)
        fitted = self.fit(records)
        return fitted if fitted is not None else list(map(self._arrange, records))

    def _note(self, records: Iterable[dict[str, Any]]) -> None:
        places = self._places
        for record in records:
            for field in record:
                places.setdefault(field, len(places))

    def _arrange(self, record: dict[str, Any]) -> dict[str, Any]:
        places = [self._places[field] for field in record]
        if places == sorted(places):
            return record
        return dict(sorted(record.items(), key=lambda item: self._places[item[0]]))

    def _slice_of(self, names: Mapping[str, str] | None) -> Any:
        """Return the type of a slice of records, dicts or with attributes of ``names``; None where it is of no use."""
        fields = sorted(self._kinds, key=self._places.__getitem__)
        if names is not None:
            attributes = {field: name for name, field in names.items()}
            fields = [field for field in fields if field in attributes]
            if len(fields) != len(names):  # not seen yet, or two attributes for one field
                return None
        else:
            attributes = {field: f"f{position}" for position, field in enumerate(fields)}
        kinds = {field: frozenset(self._kinds[field]) for field in fields}
        if not 0 < len(fields) <= _MOST_FIELDS or not set().union(*kinds.values()) <= _FITTING:
            return None
        try:
            made = msgspec.defstruct(
                "Record",
                [self._member(attributes[field], field) for field in fields],
                bases=(Fitted,),
                namespace={"__attributes__": attributes, "__kinds__": kinds},
                rename={attributes[field]: field for field in fields},
                forbid_unknown_fields=True,
                kw_only=True,
                gc=False,
            )
        except ValueError:  # a quotation mark in a field's name, say, which msgspec has no fields for
            return None
        return list[made]  # type: ignore[valid-type]  # made at run time

    def _member(self, name: str, field: str) -> Any:
        kinds = [_NOT_EMPTY if kind is str and field == self._number_field else kind for kind in self._kinds[field]]
        member = name, Union[tuple(kinds)]  # noqa: UP007  made at run time
        return (*member, msgspec.UNSET) if msgspec.UnsetType in kinds else member
