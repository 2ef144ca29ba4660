"""What numbers, texts and callbacks in settings may be: a wrong one is told by the setting's name as it is set."""

from __future__ import annotations

import functools
import inspect
import math
import re
from numbers import Integral, Real
from typing import Any, TypeGuard

import attrs

from mobiz_async.errors import ConfigurationError

__all__ = ["Allowed", "above", "check_callback", "check_kind", "has_text", "number", "whole"]


_HALVES = re.compile("[\ud800-\udfff]").search


@attrs.frozen
class Allowed:
    """Numbers from ``least`` to ``most``; an attrs validator, or by ``check`` one of a keyword."""

    least: float
    most: float
    whole: bool = False
    open: bool = False
    """Without ``least`` and ``most`` themselves."""

    def check(self, setting: str, value: Any) -> None:
        """Raise ``ConfigurationError`` where ``value`` is not one of them."""
        kind = Integral if self.whole else Real
        if isinstance(value, bool) or not isinstance(value, kind) or not self._has(value):
            raise ConfigurationError(f"must be {self}", setting=setting)

    def __call__(self, owner: object, field: attrs.Attribute[Any], value: Any) -> None:
        """Check a field of a class."""
        del owner
        self.check(field.name, value)

    def _has(self, value: Any) -> bool:
        if self.open and (value == self.least or value == self.most < math.inf):
            return False
        return bool(self.least <= value <= self.most)

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        match self.open, self.most < math.inf:
            case True, True:
                return f"{kind} between {self.least:,} and {self.most:,}"
            case True, False:
                return f"{kind} above {self.least:,}"
            case False, True:
                return f"{kind} from {self.least:,} to {self.most:,}"
        return f"{kind} of at least {self.least:,}"


def whole(least: int, most: float = math.inf) -> Allowed:
    """Return the whole numbers from ``least`` to ``most``."""
    return Allowed(least, most, whole=True)


def number(least: float = 0, most: float = math.inf) -> Allowed:
    """Return the numbers from ``least`` to ``most``; infinity is one of them where there is no ``most``."""
    return Allowed(least, most)


def above(least: float, below: float = math.inf) -> Allowed:
    """Return the numbers above ``least`` and below ``below``; infinity is one of them where there is no ``below``."""
    return Allowed(least, below, open=True)


def has_text(value: object) -> TypeGuard[str]:
    """Return whether ``value`` is text with something in it, all of which can be sent.

    Half a surrogate pair cannot, and a URL is made without it: what goes out would be another key, list or time.
    """
    return isinstance(value, str) and bool(value.strip()) and not _HALVES(value)


def check_kind(setting: str, value: object, kind: type) -> None:
    """Raise ``ConfigurationError`` where ``value`` is none of ``kind``, as a bare number in the place of several is."""
    if not isinstance(value, kind):
        raise ConfigurationError(f"must be a {kind.__name__}", setting=setting)


def check_callback(setting: str, value: object) -> None:
    """Raise ``ConfigurationError`` where ``value`` cannot be called, or is async: nobody would await what it returns.

    A plain function that returns an awaitable is not known by its looks.
    """
    while isinstance(value, functools.partial):
        value = value.func
    whatever_runs = (value, getattr(type(value), "__call__", None))  # noqa: B004  to look at it, not whether it is there
    if not callable(value) or any(map(_is_async, whatever_runs)):
        raise ConfigurationError("takes plain functions: they are called, and never awaited", setting=setting)


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
