"""The schema of a source, learnt from its records: it checks whole slices in one pass, and has them written faster.

Records of one source mostly look alike. msgspec fits a slice to what was seen so far, which is a check (these fields,
each of a kind it has held before), and what comes of it is written as JSON in two thirds of the time that dicts take.

Fitted records are written with their fields in one order: that in which the source first showed them. So the bytes of a
record depend on the records before it and not on where its slice began, which is a matter of timing; a journal that
compares bytes relies on that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from operator import itemgetter
from typing import Annotated, Any, ClassVar, Union

import msgspec

__all__ = ["HARMLESS", "Fitted", "Schema", "as_dicts", "value_of"]

HARMLESS = frozenset({str, int, bool, float, type(None)})
"""Kinds of value that JSON has a form of its own for. (A float may still be none: see ``shape``.)"""

_FITTING = HARMLESS - {float} | {msgspec.UnsetType}
"""Kinds a schema may hold. Where it held floats, msgspec would make floats of decimals too."""
_NOT_EMPTY = Annotated[str, msgspec.Meta(min_length=1)]
_MOST_FIELDS = 200
"""Of a schema. Beyond as many, the order of fields is that of the record."""
_MOST_CHANGES = 16
"""How often a schema may be widened: a source whose fields change all the time is better off without one."""
_ORDERS_KEPT = 1000
_convert = msgspec.convert
_asdict = msgspec.structs.asdict


class Fitted(msgspec.Struct):
    """A record that fits a schema. Each schema, and each class of records under it, has a class of its own."""

    __attributes__: ClassVar[Mapping[str, str]]
    """Field -> the attribute that holds it."""
    __kinds__: ClassVar[Mapping[str, frozenset[type]]]
    """Field -> what it may hold; ``UnsetType`` among them where a record may go without it."""
    __gaps__: ClassVar[bool]
    """Whether a record may go without one of them."""


def as_dicts(records: list[Any]) -> list[Any]:
    """Return fitted records as dicts, and any others as they are."""
    return [_as_dict(record) if isinstance(record, Fitted) else record for record in records]


def _as_dict(record: Fitted) -> dict[str, Any]:
    # Not by msgspec.to_builtins: it raises for subclasses of str, which fit, and of enums it makes something else.
    values = _asdict(record).values()
    made = dict(zip(record.__struct_encode_fields__, values))  # noqa: B905  as many, and strict takes a third longer
    if record.__gaps__:
        made = {field: value for field, value in made.items() if value is not msgspec.UNSET}
    return made


def value_of(record: Any, field: str) -> Any:
    """Return what a record has in ``field``, be it fitted or a dict; None where it has not."""
    if not isinstance(record, Fitted):
        return record.get(field)
    value = getattr(record, record.__attributes__.get(field, ""), None)
    return None if value is msgspec.UNSET else value


class Schema:
    """What the records of one source have looked like so far."""

    def __init__(self, number_field: str | None) -> None:
        """``number_field`` must not be empty text in any record (None: no such field)."""
        self._number_field = number_field
        self._places: dict[str, int] = {}
        self._orders: dict[tuple[Any, ...], bool] = {}
        """Fields of a record that was seen -> whether they are in order."""
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
        if self._changes >= _MOST_CHANGES or not records:
            return
        self._changes += 1
        known = self._kinds
        self._kinds = known | {field: set() for field in chain.from_iterable(records) if field not in known}
        if len(self._kinds) > _MOST_FIELDS:
            self._changes, self._kinds = _MOST_CHANGES, {}
        for field, kinds in self._kinds.items():
            try:
                kinds.update(map(type, map(itemgetter(field), records)))
            except KeyError:
                kinds.update(type(record.get(field, msgspec.UNSET)) for record in records)
            if known and field not in known:
                kinds.add(msgspec.UnsetType)
        self._slices.clear()

    def in_order(self, records: list[dict[str, Any]]) -> list[Any]:
        """Return records, which are good and noted, as they are to be written: fitted, or with fields in order."""
        fitted = self.fit(records)
        if fitted is not None:
            return fitted
        return [record if self._orders.get(tuple(record)) else self.arranged(record) for record in records]

    def note(self, records: Iterable[dict[Any, Any]]) -> None:
        """Give the fields of records that are not known yet their places, behind those that are."""
        orders, places = self._orders, self._places
        for record in records:
            fields = tuple(record)
            if fields in orders:
                continue
            if all(isinstance(field, str) for field in fields):
                for field in fields:
                    if field not in places and len(places) < _MOST_FIELDS:
                        places[field] = len(places)
            if len(orders) >= _ORDERS_KEPT:
                orders.clear()
            orders[fields] = self._in_order(fields)

    def _place(self, field: Any) -> int:
        return self._places.get(field, _MOST_FIELDS)

    def _in_order(self, fields: Iterable[Any]) -> bool:
        places = list(map(self._place, fields))
        return places == sorted(places)

    def arranged(self, record: dict[Any, Any]) -> dict[Any, Any]:
        """Return a record, which is noted, with its fields in order."""
        return dict(sorted(record.items(), key=lambda item: self._place(item[0])))

    def _slice_of(self, names: Mapping[str, str] | None) -> Any:
        """Return the type of a slice of records, dicts or with attributes of ``names``; None where it is of no use."""
        kinds = self._kinds_of(names)
        if not kinds or not all(kinds.values()) or not set().union(*kinds.values()) <= _FITTING:
            return None
        fields = sorted(kinds, key=self._place)
        gaps = any(msgspec.UnsetType in each for each in kinds.values())
        if names is not None:
            attributes = {field: name for name, field in names.items()}
        else:
            attributes = {field: f"f{position}" for position, field in enumerate(fields)}
        try:
            made = msgspec.defstruct(
                "Record",
                [self._member(attributes[field], field, kinds[field]) for field in fields],
                bases=(Fitted,),
                namespace={"__attributes__": attributes, "__kinds__": kinds, "__gaps__": gaps},
                rename={attributes[field]: field for field in fields},
                forbid_unknown_fields=True,
                kw_only=True,
                gc=False,
            )
        except (ValueError, TypeError, RuntimeError):  # a name that msgspec takes for no field: with a quotation mark
            return None
        return list[made]  # type: ignore[valid-type]  # made at run time

    def _kinds_of(self, names: Mapping[str, str] | None) -> dict[str, frozenset[type]]:
        """Return the fields of a slice of records and what they may hold; none where they are not all known."""
        if names is None:
            return {field: frozenset(kinds) for field, kinds in self._kinds.items()}
        if not self._kinds.keys() >= set(names.values()) or self._number_field not in {None, *names.values()}:
            return {}
        # An attribute that is not there must not be passed over: msgspec would look for one of the field's name.
        return {field: frozenset(self._kinds[field] - {msgspec.UnsetType}) for field in names.values()}

    def _member(self, name: str, field: str, kinds: frozenset[type]) -> Any:
        union = [_NOT_EMPTY if kind is str and field == self._number_field else kind for kind in kinds]
        member = name, Union[tuple(union)]  # noqa: UP007  made at run time
        return (*member, msgspec.UNSET) if msgspec.UnsetType in kinds else member
