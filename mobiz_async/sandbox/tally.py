"""How many different texts there are, and how many of them came more than once: counted as they come."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial

__all__ = ["Tally"]

_SHARDS = 1021
"""A prime, so that numbers in steps of a round figure spread as well."""


class _Codes:
    """A set of positive integers below 2^64 at some 10 bytes each: sorted arrays, each of them short."""

    def __init__(self) -> None:
        self.count = 0
        self._shards: defaultdict[int, array[int]] = defaultdict(partial(array, "Q"))

    def add(self, codes: Sequence[int]) -> list[int]:
        """Remember ``codes``; return those that were there already."""
        shards, find = self._shards, bisect_left
        known: list[int] = []
        for code in codes:
            shard = shards[code % _SHARDS]
            place = find(shard, code)
            if place < len(shard) and shard[place] == code:
                known.append(code)
            else:
                shard.insert(place, code)
        self.count += len(codes) - len(known)
        return known


class Tally:
    """Texts as ``Column`` has them: codes, and those that are none."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._codes, self._codes_again = _Codes(), _Codes()
        self._others: Counter[str] = Counter()
        self._others_again = 0

    @property
    def distinct(self) -> int:
        """How many different texts were counted."""
        return self._codes.count + len(self._others)

    @property
    def repeated(self) -> int:
        """How many of them more than once."""
        return self._codes_again.count + self._others_again

    def count(self, codes: Sequence[int], others: Iterable[str]) -> None:
        """Count a part of a column."""
        self._codes_again.add(self._codes.add(codes))
        for text in others:
            self._others[text] += 1
            self._others_again += self._others[text] == 2  # noqa: PLR2004  # the second time, not the third
