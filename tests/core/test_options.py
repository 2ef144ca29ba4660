"""The options of a bulk run: their defaults, and that a value that cannot be is refused before anything is sent."""

from __future__ import annotations

import inspect
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest

from mobiz_async import BulkOptions, ConfigurationError, MemoryJournal, OnInvalid, OnRejected, OnUnknown
from mobiz_async.options import BulkSettings


async def awaited(given: object) -> None: ...


class WithoutAnEnd(MemoryJournal):
    """A journal that somebody has not finished writing."""

    note_end = None


def test_the_keywords_are_the_fields() -> None:
    assert [field.name for field in attrs.fields(BulkOptions)] == list(BulkSettings.__annotations__)


def test_the_defaults_send_nothing_twice_and_hide_nothing() -> None:
    options = BulkOptions()

    assert (options.on_unknown, options.on_rejected, options.on_invalid, options.chunk_size) == (
        OnUnknown.KEEP,
        OnRejected.KEEP,
        OnInvalid.RAISE,
        10_000,
    )


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("on_unknown", "resend", OnUnknown.RESEND),
        ("on_rejected", "stop", OnRejected.STOP),
        ("on_invalid", "skip", OnInvalid.SKIP),
    ],
)
def test_a_choice_may_be_given_as_its_word(name: str, given: str, expected: object) -> None:
    assert getattr(BulkOptions(**{name: given}), name) is expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chunk_size", 0),
        ("chunk_size", 10_001),
        ("max_chunk_bytes", 63),
        ("concurrency", 0),
        ("on_unknown", "perhaps"),
        ("on_rejected", "perhaps"),
        ("on_invalid", None),
        ("max_split_requests", -1),
        ("max_failure_rate", -0.1),
        ("max_failure_rate", 1.1),
        ("max_failure_rate", float("nan")),
        ("records_per_second", 0),
        ("deadline", 0),
        ("deadline", float("nan")),
        ("failures_kept", 0),
        ("progress", awaited),
        ("on_skipped", awaited),
        ("journal", "spring.journal"),
        ("journal", Path("spring.journal")),
        ("journal", WithoutAnEnd()),
    ],
)
def test_a_value_that_cannot_be_is_a_configuration_error_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BulkOptions(**{name: value})

    assert (caught.value.setting, str(caught.value)) == (name, f"{name} {caught.value.what}")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("chunk_size", 10_001, "must be a whole number from 1 to 10,000"),
        ("max_chunk_bytes", 63, "must be a whole number of at least 64"),
        ("deadline", 0, "must be a number above 0"),
        ("on_unknown", "perhaps", "is one of keep, stop, resend"),
    ],
)
def test_what_a_value_may_be_is_told(name: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BulkOptions(**{name: value})

    assert caught.value.what == said


def test_a_keyword_that_does_not_exist_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="chunksize"):
        BulkOptions(chunksize=5)


def test_every_option_says_what_it_means() -> None:
    lines = inspect.getsource(BulkOptions).splitlines()
    fields = {field.name for field in attrs.fields(BulkOptions)}
    said = {line.split(":")[0].strip() for line, after in pairwise(lines) if '"""' in after}

    assert fields <= said
