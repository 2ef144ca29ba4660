"""Requests read by hand: the raw query and strict JSON. Nothing of the client's encoder is used or trusted here."""

from __future__ import annotations

import json
import math
import urllib.parse
from collections.abc import Mapping
from typing import Any, NoReturn

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
    one object, lone surrogates, numbers beyond a float, and nesting beyond reason.
    """
    try:
        value = _decoder.decode(body.decode("utf-8"))
        if b"\\" in body:  # only an escape can smuggle in a lone surrogate, which has no UTF-8
            json.dumps(value, ensure_ascii=False).encode("utf-8")
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
