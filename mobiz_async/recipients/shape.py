"""The first stage: whatever the caller holds becomes dicts, or fitted records, that are safe to write as JSON.

A record is a mapping, an attrs, dataclass, msgspec, pydantic or named-tuple instance, a row of a database, or a bare
number. JSON encoders let some values through that nobody means: bytes become base64, NaN becomes null, integer keys
become text. Each is refused here, by row and field.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

from msgspec import UnsetType

from mobiz_async.errors import Reason
from mobiz_async.recipients.held import METADATA_KEY, Held
from mobiz_async.recipients.schema import HARMLESS, Fitted, Schema
from mobiz_async.recipients.stages import BadRecord, Problem, Stage, Staged, only_good
from mobiz_async.recipients.values import fault_of

__all__ = ["METADATA_KEY", "shape_stage"]

_values = dict.values
_EMPTY = frozenset({"", None, False, True})
"""What is no number. (0 and 1 are equal to two of them; the closer look that follows knows them apart.)"""


def shape_stage(
    number_field: str | None = "Number",
    *,
    common: Mapping[str, Any] | None = None,
    rename: Mapping[str, str] | None = None,
    fitted: bool = False,
) -> Stage:
    """Return the stage that makes records into dicts and refuses what JSON would garble.

    ``number_field`` must be present in each record, not empty, and text or a whole number (None: not asked for, as with
    triggers, whose columns the engagement names). A field that is ``msgspec.UNSET`` is not there. ``common`` holds
    fields for every record, which its own fields override. ``rename`` maps names the records use to names the API is to
    see; a record that would have two fields of one name is refused.
    ``fitted``: hand on ``Fitted`` records where the source allows, and all of them with their fields in the order of
    the schema.
    """
    return _Shape(number_field, Held(number_field, common or {}, rename or {}), fitted=fitted)


class _Shape:
    def __init__(self, number_field: str | None, held: Held, *, fitted: bool) -> None:
        self._number_field = number_field
        self._held = held
        self._fitted = fitted
        self._schema = Schema(number_field)

    def __call__(self, records: list[Any], rows: Sequence[int]) -> Staged:
        problems: list[Problem] = []
        given, given_rows = records, rows
        kinds = set(map(type, records))
        if kinds != {dict} or not self._held.as_they_are:
            fit = self._fit_instances(records, kinds)
            if fit is not None:
                return Staged(fit, rows, problems)
            made = self._held.dicts(records, kinds)
            if None in made:
                paired = zip(made, records, rows, strict=True)
                problems = [self._unmade(record, row) for good, record, row in paired if good is None]
                rows = [row for good, row in zip(made, rows, strict=True) if good is not None]
            records = [record for record in made if record is not None]
        fit = self._schema.fit(records)
        if fit is not None:
            return Staged(fit if self._fitted else records, rows, problems)
        kinds = set(map(type, chain.from_iterable(map(_values, records))))
        if UnsetType in kinds:
            return self(self._held.set_only(given), given_rows)
        if self._fitted:
            # Of the bad ones as well: whether they are told apart here or by the encoder depends on their slice.
            self._schema.note(records)
        if _all_good(records, kinds, self._number_field):
            self._schema.learn(records)
        else:
            records, rows, unfit = only_good(records, rows, self._diagnose)
            problems = sorted([*problems, *unfit], key=attrgetter("row"))
        return Staged(self._schema.in_order(records) if self._fitted else records, rows, problems)

    def _diagnose(self, record: dict[Any, Any]) -> tuple[str | None, Reason] | None:
        # Of several faults the first is told, in the order that the encoder would meet them in.
        return _diagnose(self._schema.arranged(record) if self._fitted else record, self._number_field)

    def _unmade(self, record: Any, row: int) -> Problem:
        if not isinstance(record, BadRecord):
            return Problem(row, *self._held.refusal(record))
        # What is kept to be mended looks like any other record held back: renamed, with the common fields.
        cells = self._held.dicts([dict(record.cells)], {dict})[0] or record.cells if record.cells else None
        return Problem(row, record.field, record.reason, cells)

    def _fit_instances(self, records: list[Any], kinds: set[type]) -> list[Fitted] | None:
        """Fit instances of one class, without making dicts of them."""
        if not self._fitted or not self._held.as_they_are or len(kinds) != 1:
            return None
        (kind,) = kinds
        fields = self._held.attributes(kind)
        return self._schema.fit(records, kind, fields) if fields else None


# A slice is looked at as a whole, at C speed, and only where that finds something record by record.


def _all_good(records: list[dict[Any, Any]], kinds: set[type], number_field: str | None) -> bool:
    """Return whether all are good; ``kinds`` are those of their values. False only means that a closer look is due."""
    if not kinds <= HARMLESS:
        return False
    try:
        fields = set().union(*records)
        "".join(fields).encode()  # which refuses anything that is not text, and half a surrogate pair
        numbers = [] if number_field is None else list(map(itemgetter(number_field), records))
        if not _EMPTY.isdisjoint(numbers):
            return False
    except (TypeError, KeyError, UnicodeEncodeError):
        return False
    return float not in kinds or (_all_finite(records, fields) and _all_whole(numbers))


def _all_finite(records: Iterable[Mapping[str, Any]], fields: Iterable[str]) -> bool:
    return all(_finite(record, fields) for record in records)


def _all_whole(numbers: Sequence[Any]) -> bool:
    return float not in set(map(type, numbers)) or all(one.is_integer() for one in numbers if type(one) is float)


def _finite(record: Mapping[str, Any], fields: Iterable[str]) -> bool:
    return all(math.isfinite(value) for field in fields if type(value := record.get(field)) is float)


def _diagnose(record: dict[Any, Any], number_field: str | None) -> tuple[str | None, Reason] | None:
    if not all(isinstance(key, str) for key in record):
        return None, Reason.KEY_NOT_TEXT
    if number_field is None:
        return fault_of(record)
    if number_field not in record:
        return number_field, Reason.MISSING
    number = record[number_field]
    if number is None or isinstance(number, bool) or (isinstance(number, str) and not number):
        return number_field, Reason.EMPTY
    fault = fault_of(record)
    if fault is None and not _may_be_dialled(number):
        return number_field, Reason.NOT_A_NUMBER
    return fault


def _may_be_dialled(number: object) -> bool:
    """Return whether it is text, or a whole number of some kind; finite it is known to be."""
    match number:
        case float():
            return number.is_integer()
        case Decimal():
            return number == number.to_integral_value()
    return isinstance(number, (str, int))
