"""How values are written as JSON: the one encoder, and what it raises."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["ENCODING_ERRORS", "encode", "encode_into"]

ENCODING_ERRORS = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


def _kin(value: Any) -> Any:
    # Such as numpy.str_ and numpy.float64: subclasses, which msgspec does not take for what they are.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        return float.__float__(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


_encoder = msgspec.json.Encoder(enc_hook=_kin)
encode = _encoder.encode
encode_into = _encoder.encode_into
