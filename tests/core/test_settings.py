"""A number that a setting cannot have is refused by the setting's name, whatever it is."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from decimal import Decimal
from functools import partial
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from mobiz_async.errors import ConfigurationError
from mobiz_async.settings import Allowed, above, check_callback, number, whole


@pytest.mark.parametrize(
    ("allowed", "good", "bad"),
    [
        (whole(1), [1, 10**400], [0, -1, 1.0, 1.5, "1", True, None, math.nan, Decimal(1)]),
        (whole(1, 10), [1, 10], [0, 11]),
        (number(), [0, 0.0, 1.5, math.inf], [-0.1, -math.inf, math.nan, "1", False, None]),
        (number(0, 1), [0, 0.5, 1], [-0.1, 1.1, math.inf]),
        (above(0), [0.1, 10, math.inf], [0, -1, math.nan]),
        (above(0, 1), [0.1, 0.9], [0, 1, 1.0, math.inf]),
    ],
    ids=str,
)
def test_what_is_within_passes_and_what_is_not_is_refused(allowed: Allowed, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        allowed.check("pace", value)
    for value in bad:
        with pytest.raises(ConfigurationError) as caught:
            allowed.check("pace", value)
        assert (caught.value.setting, str(caught.value)) == ("pace", f"pace must be {allowed}")


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        (whole(1), "a whole number of at least 1"),
        (whole(1, 10_000), "a whole number from 1 to 10,000"),
        (number(), "a number of at least 0"),
        (number(0, 1), "a number from 0 to 1"),
        (above(0), "a number above 0"),
        (above(0, 1), "a number between 0 and 1"),
    ],
)
def test_what_is_allowed_is_told(allowed: Allowed, said: str) -> None:
    assert str(allowed) == said


class Called:
    def __call__(self, *given: Any) -> None: ...

    def method(self, *given: Any) -> None: ...


class Awaited:
    async def __call__(self, *given: Any) -> None: ...

    async def method(self, *given: Any) -> None: ...


async def awaited(*given: Any) -> None: ...


async def iterated(*given: Any) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    "callback", [lambda given: None, [].append, Called(), Called().method, partial(Called()), Called, Awaited, Mock()]
)
def test_what_can_just_be_called_is_a_callback(callback: Any) -> None:
    check_callback("progress", callback)


@pytest.mark.parametrize(
    "callback",
    [
        awaited,
        iterated,
        Awaited(),
        Awaited().method,
        partial(awaited),
        partial(partial(Awaited(), 1), 2),
        AsyncMock(),
        "progress",
        None,
    ],
)
def test_what_nobody_would_await_is_no_callback(callback: Any) -> None:
    with pytest.raises(ConfigurationError, match="progress takes plain functions") as caught:
        check_callback("progress", callback)

    assert caught.value.setting == "progress"
