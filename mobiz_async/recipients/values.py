"""What is wrong with a value or a record for JSON, which many encoders would write all the same, garbled."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import attrs
import msgspec

from mobiz_async.encoding import ENCODING_ERRORS, encode
from mobiz_async.errors import Reason

__all__ = ["fault_of", "refusal_of", "value_problem"]


def fault_of(record: Mapping[Any, Any]) -> tuple[str | None, Reason] | None:
    """Return the field at fault (None: the field names) and why; None where all of it can be written."""
    for key in record:
        if not isinstance(key, str):
            return None, Reason.KEY_NOT_TEXT
        if _encoding_problem(key) is not None:
            return None, Reason.NOT_ENCODABLE
    for key, value in record.items():
        try:
            reason = value_problem(value)
        except RecursionError:  # it contains itself, or as good as
            reason = Reason.NOT_ENCODABLE
        if reason is not None:
            return key, reason
    return None


def refusal_of(record: Mapping[Any, Any]) -> tuple[str | None, Reason]:
    """Return the field at fault, where one is, and why, of a record that the encoder has refused."""
    return fault_of(record) or (None, Reason.NOT_ENCODABLE)


def value_problem(value: Any) -> Reason | None:
    """Return why ``value`` cannot be sent as it is meant, or None. Raises ``RecursionError`` where it has no end."""
    match value:
        case str():
            return _encoding_problem(value)
        case float():
            return None if math.isfinite(value) else Reason.NOT_FINITE
        case Decimal():  # math would raise for some, and make infinite floats of others
            return None if value.is_finite() else Reason.NOT_FINITE
        case bytes() | bytearray() | memoryview():
            return Reason.BINARY
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                return Reason.KEY_NOT_TEXT
            return _first_problem(value.values()) or _encoding_problem(value)
        case set() | frozenset():
            return Reason.NOT_ENCODABLE  # in another order in each process, and so never the same again
        case list() | tuple():
            return _first_problem(value)
    return _first_problem(_held_by(value)) or _encoding_problem(value)


def _first_problem(values: Iterable[Any]) -> Reason | None:
    return next(filter(None, map(value_problem, values)), None)


def _held_by(value: Any) -> Iterable[Any]:
    """Return what an instance that the encoder writes as an object holds; it leaves out what is not set."""
    kind = type(value)
    names: Iterable[str] = ()
    if isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
    elif attrs.has(kind):
        names = (field.name for field in attrs.fields(kind))
    elif dataclasses.is_dataclass(kind):
        names = (field.name for field in dataclasses.fields(kind))
    held = (getattr(value, name, msgspec.UNSET) for name in names)
    return (one for one in held if one is not msgspec.UNSET)


def _encoding_problem(value: Any) -> Reason | None:
    try:
        encode(value)
    except ENCODING_ERRORS:
        return Reason.NOT_ENCODABLE
    return None
