"""Requests read by hand: the raw query and strict JSON. Nothing of the client's encoder is used or trusted here."""

from __future__ import annotations

import json
import math
import urllib.parse
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

__all__ = ["BadPayloadError", "parse_json", "parse_query"]


class BadPayloadError(ValueError):
    """The query or the body is not what the API can read. The text says why, without any of the content."""


def parse_query(text: str) -> Mapping[str, str]:
    """Return the parameters of a raw query string.

    Raise ``BadPayloadError`` for one that is not ``name=value&...`` in percent-encoded UTF-8, or that names a parameter
    twice: which of the two would count is nowhere documented.
    """
    if not text:
        return {}
    try:
        pairs = urllib.parse.parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise BadPayloadError("the query is not name=value pairs in percent-encoded UTF-8") from None
    query = dict(pairs)
    if len(query) != len(pairs):
        raise BadPayloadError("the query names a parameter twice")
    return query


def parse_json(body: bytes) -> Any:
    """Return the value of a JSON text, read strictly (RFC 8259).

    Refused with ``BadPayloadError``: what is not UTF-8, a byte order mark, ``NaN`` and ``Infinity``, a name twice in
    one object, lone surrogates, and nesting beyond reason.
    """
    fast = _parse_flat_records(body)
    return _parse_strictly(body) if fast is None else fast


_UNSURE = (b'" ', b'"\n', b'"\t', b'"\r', b'\\\\"')
"""With none of these in the body every name ends in an unescaped quote and a colon, with nothing between them."""


def _parse_flat_records(body: bytes) -> list[dict[str, Any]] | None:
    """Return an array of flat, compact objects at the speed of a C decoder; None when unsure of strictness.

    A fast decoder keeps the last of two equal names and does not tell. So the names are counted in the bytes: `":`
    closes each of them, and occurs elsewhere only as an escaped quote (subtracted) or where a text begins with a colon
    (which makes the count too high). As many as there are names in the decoded objects means that none was lost.
    """
    if any(mark in body for mark in _UNSURE):
        return None
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if type(value) is not list or set(map(type, value)) != {dict}:
        return None
    named = body.count(b'":') - body.count(b'\\":')
    return value if named == sum(map(len, value)) else None


def _parse_strictly(body: bytes) -> Any:
    try:
        value = _decoder.decode(body.decode("utf-8"))
        json.dumps(value, ensure_ascii=False, check_circular=False).encode("utf-8")  # a lone surrogate has no UTF-8
    except BadPayloadError:
        raise
    except UnicodeError:
        raise BadPayloadError("the body is not UTF-8 text") from None
    except RecursionError:
        raise BadPayloadError("the body is nested too deeply") from None
    except ValueError:
        raise BadPayloadError("the body is not JSON") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise BadPayloadError("an object has the same name twice")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise BadPayloadError("a number is beyond what a float holds")
    return value


def _refuse_constant(_: str) -> NoReturn:
    raise BadPayloadError("NaN and Infinity are not JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
