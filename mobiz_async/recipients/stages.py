"""What a stage of the intake is: a pure function over a slice of records, which lets good slices through untouched.

Records travel in slices of a few hundred with the source rows they came from. A stage returns what passed, the rows of
it, and a ``Problem`` for each record it held back. For a slice without problems it returns the very list it was given,
or a transformed one of the same length, and does so with C-speed checks over whole columns; only a slice that fails
them is looked at record by record. That is what keeps a million checks off the event loop's back.

Where a record's own code raises, the stage is asked for the slice again, one by one. So one that remembers what it has
seen looks at all of a slice first, and remembers afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import attrs

from mobiz_async.errors import InvalidRecordError, Reason

__all__ = ["LARGEST_SLICE", "SKIPS", "BadRecord", "Problem", "Stage", "Staged", "only_good", "pipeline", "runs"]

LARGEST_SLICE = 250
"""Records that are made, checked and encoded at once, at most. Larger slices are no faster, and have Python look for
cycles: it does when there are 700 objects more than before. It would at each chunk, and once in a while at all that the
program holds, for 10 ms and more."""

SKIPS = frozenset({Reason.DUPLICATE, Reason.SUPPRESSED})
"""Reasons that are wishes of the caller, not faults of the record: always skipped, never raised."""


@attrs.frozen
class BadRecord:
    """What a source yields in the place of a record it cannot make; the intake turns it into a ``Problem``.

    ``cells`` is what could be read of it, to be mended: field, as the API sees it, -> value as read. A row that cannot
    be cut into fields rightly is there as a whole too, as text, under ``_raw``. None where nothing could be read.
    """

    field: str | None
    reason: Reason
    cells: Mapping[str, Any] | None = attrs.field(default=None, repr=False, eq=False)


@attrs.frozen
class Problem:
    """A record held back, its row (from 1), the field at fault (None: the record itself) and why.

    ``record`` is the record as it had come to be by then; of a row that a reader could not make a record of, its cells.
    """

    row: int
    field: str | None
    reason: Reason
    record: Any = attrs.field(default=None, repr=False, eq=False)

    def error(self) -> InvalidRecordError:
        """Return the problem as an exception, without the record."""
        return InvalidRecordError(self.row, self.field, self.reason)


class Staged(NamedTuple):
    """What a stage let through, and what it held back, each in the order of rows: the first bad one ends a run."""

    records: list[Any]
    rows: Sequence[int]
    problems: list[Problem]

    def __repr__(self) -> str:
        return f"Staged({len(self.records):,} records, {len(self.problems):,} problems)"


Stage = Callable[[list[Any], Sequence[int]], Staged]


def only_good(
    records: list[Any], rows: Sequence[int], diagnose: Callable[[Any], tuple[str | None, Reason] | None]
) -> Staged:
    """Look at each record of a slice; ``diagnose`` returns (field, reason), or None for a good one."""
    good: list[Any] = []
    good_rows: list[int] = []
    problems: list[Problem] = []
    for record, row in zip(records, rows, strict=True):
        found = diagnose(record)
        if found is None:
            good.append(record)
            good_rows.append(row)
        else:
            problems.append(Problem(row, *found, record))
    return Staged(good, good_rows, problems)


def pipeline(stages: Iterable[Stage]) -> Stage:
    """Return one stage that is ``stages`` in turn; the problems of all of them, in the order of rows."""
    chain = tuple(stages)

    def run(records: list[Any], rows: Sequence[int]) -> Staged:
        problems: list[Problem] = []
        for stage in chain:
            records, rows, held = stage(records, rows)
            if held:
                problems.extend(held)
        if len(problems) > 1:
            problems.sort(key=lambda problem: problem.row)
        return Staged(records, rows, problems)

    return run


def runs(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Return ``rows``, ascending, as (first, length) of each unbroken run."""
    if isinstance(rows, range):
        return [(rows.start, len(rows))] if rows else []
    found: list[tuple[int, int]] = []
    for row in rows:
        if found and sum(found[-1]) == row:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((row, 1))
    return found
