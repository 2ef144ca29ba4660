"""Opt-outs that come between two runs on one journal, of people whom the earlier run has put into a chunk."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Any

from mobiz_async.errors import Reason
from mobiz_async.journal.protocol import Part
from mobiz_async.recipients.stages import Problem, Stage, Staged

__all__ = ["LateOptOuts"]


class LateOptOuts:
    """Records that are on the suppression list now, and in a chunk that an earlier run has made.

    A journal knows a chunk again by its bytes. To leave such a record out would change its chunk, and shift the records
    of all chunks behind it: the run could not be resumed. So the record stays in its chunk while that is read and
    compared, and is left out only when the chunk is sent.
    """

    def __init__(self) -> None:
        """Know of no earlier run: then every record on the list is held back at once."""
        self._firsts = array("Q")
        self._afters = array("Q")
        self._sizes = array("L")
        """Records of each chunk, by its index; 0: of none that is known."""
        self._spared: dict[int, Problem] = {}
        self._any = False

    def note(self, part: Part) -> None:
        """Take note of the rows of a part, which come in the order of the source."""
        if not self._any:
            return
        for first, length in part.rows:
            self._firsts.append(first)
            self._afters.append(first + length)
        while len(self._sizes) <= part.index:
            self._sizes.append(0)
        self._sizes[part.index] += part.count

    def most_of(self, index: int) -> int:
        """Return how many records an earlier run put into a chunk; where it made no such chunk, no limit.

        This chunk may not have more. That run may have closed it because the next record did not fit by its bytes; if
        that next one has opted out since, a smaller one behind it could slip in, and the chunk would be another one.
        """
        made = self._sizes[index] if index < len(self._sizes) else 0
        return made or sys.maxsize

    def sparing(self, suppression: Stage) -> Stage:
        """Return a stage that holds back what ``suppression`` does, but for records that earlier chunks have.

        Those it lets through and remembers, with the problem that ``suppression`` found (``within`` gives them out).
        """
        self._any = True

        def run(records: list[Any], rows: Sequence[int]) -> Staged:
            staged = suppression(records, rows)
            if not staged.problems or not self._firsts:
                return staged
            spared = [problem for problem in staged.problems if self._is_late(problem)]
            if not spared:
                return staged
            self._spared.update((problem.row, problem) for problem in spared)
            passed = [*zip(staged.rows, staged.records, strict=True), *((held.row, held.record) for held in spared)]
            passed.sort(key=itemgetter(0))
            return Staged(
                [record for _, record in passed],
                [row for row, _ in passed],
                [problem for problem in staged.problems if problem.row not in self._spared],
            )

        return run

    def within(self, rows: Sequence[tuple[int, int]]) -> dict[int, Problem]:
        """Return the records to be left out of a chunk with ``rows``: place in the chunk, from 0 -> problem."""
        if not self._spared:
            return {}
        firsts = [first for first, _ in rows]
        before = [0, *accumulate(length for _, length in rows)]
        found = {}
        for row in sorted(self._spared):
            at = bisect_right(firsts, row) - 1
            if at >= 0 and row < sum(rows[at]):
                found[before[at] + row - firsts[at]] = self._spared[row]
        return found

    def forget(self, late: Iterable[Problem]) -> None:
        """Let go of those whose chunk is dealt with."""
        for problem in late:
            del self._spared[problem.row]

    def _is_late(self, problem: Problem) -> bool:
        at = bisect_right(self._firsts, problem.row) - 1
        return problem.reason is Reason.SUPPRESSED and at >= 0 and problem.row < self._afters[at]
