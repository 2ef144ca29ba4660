"""A changed chunk is told by its seal, and the first record that differs is the one."""

from __future__ import annotations

import json
import zlib
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mobiz_async.journal.seals import first_difference, seal

texts = st.text('ab}{,"\\', max_size=6)
values = st.recursive(
    texts | st.integers(0, 9),
    lambda inner: st.dictionaries(texts, inner, max_size=2) | st.lists(inner, max_size=3),
    max_leaves=4,
)
records = st.lists(st.dictionaries(texts, values, max_size=3), min_size=1, max_size=8)


def body(many: list[Any]) -> bytes:
    return json.dumps(many, separators=(",", ":")).encode()


def first(old: list[Any], new: list[Any]) -> int | None:
    """Return the first record that differs; of no interest where two prints are the same by chance."""
    pairs = [(body([a]), body([b])) for a, b in zip(old, new, strict=False)]
    assume(all(a == b or zlib.adler32(a) != zlib.adler32(b) for a, b in pairs))
    differing = (position for position, (a, b) in enumerate(pairs) if a != b)
    return None if body(old) == body(new) else next(differing, min(len(old), len(new)))


class TestFirstDifference:
    @settings(max_examples=40)
    @given(records, records)
    def test_of_unlike_bodies(self, old, new) -> None:
        assert first_difference(seal(body(old)), bytearray(body(new))) == first(old, new)

    @settings(max_examples=40)
    @given(records, st.data())
    def test_of_a_record_that_was_changed(self, old, data) -> None:
        place = data.draw(st.integers(0, len(old) - 1))
        new = [*old[:place], {**old[place], "x": "changed"}, *old[place + 1 :]]

        assert first_difference(seal(body(old)), body(new)) == first(old, new) == place

    @settings(max_examples=40)
    @given(records, st.data())
    def test_of_a_record_that_is_gone(self, old, data) -> None:
        place = data.draw(st.integers(0, len(old) - 1))
        new = [*old[:place], *old[place + 1 :]]

        assert first_difference(seal(body(old)), body(new)) == first(old, new)


def test_a_seal_is_the_same_for_the_same_bytes() -> None:
    assert seal(b"[1]") == seal(bytearray(b"[1]")) != seal(b"[2]")


def test_a_seal_shows_no_prints() -> None:
    assert "prints" not in repr(seal(body([{"Number": "27821234567"}])))
