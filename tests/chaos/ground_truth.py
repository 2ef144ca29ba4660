"""The rules that every run must keep, checked against what the server truly applied.

Records are told apart by their phone number, which is unique in these runs. Row n of a source (from 1) is number n.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable, Mapping, Sequence

from mobiz_async.journal import ChunkState, Part

NOT_APPLIED = (ChunkState.PENDING, ChunkState.REJECTED)


def numbers(count: int, first: int = 0) -> list[str]:
    """Invented mobile numbers, each different."""
    return [str(27_600_000_000 + first + position) for position in range(count)]


def by_record(parts: Iterable[Part], source: Sequence[str]) -> dict[str, ChunkState]:
    """Return each record's state; a record of no part has not begun, which is pending."""
    states = dict.fromkeys(source, ChunkState.PENDING)
    seen: set[int] = set()
    for part in parts:
        for first, length in part.rows:
            rows = range(first, first + length)
            assert not seen.intersection(rows), "a record stands in two parts of the journal"
            seen.update(rows)
            states.update((source[row - 1], part.state) for row in rows)
    return states


def check(
    states: Mapping[str, ChunkState], applied: Mapping[str, int], *, may_repeat: Collection[str] = frozenset()
) -> None:
    """Raise AssertionError where the journal contradicts the server, or a record was applied twice unasked."""
    for record, state in states.items():
        times = applied.get(record, 0)
        assert times <= 1 or record in may_repeat, f"applied {times} times; the journal says {state}"
        if state is ChunkState.ACCEPTED:
            assert times >= 1, "accepted by the journal, never applied"
        if state in NOT_APPLIED:
            assert times == 0, f"{state} by the journal, and yet applied"
    assert not set(applied) - set(states), "something was applied that the source does not have"


def count(states: Mapping[str, ChunkState]) -> collections.Counter[ChunkState]:
    """Return how many records are in each state."""
    return collections.Counter(states.values())
