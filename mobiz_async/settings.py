"""What the numbers in settings may be: checked as they are set, and a wrong one is told by the setting's name."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import attrs

from mobiz_async.errors import ConfigurationError

__all__ = ["Allowed", "above", "number", "whole"]


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
