"""Finding the bad records of a refused chunk with few requests: a pure search, told what each request proved.

The first bad record is found by halving the range that should hold one. What goes before it is accepted on the way;
what comes after is tried in groups as large as the bad records so far are apart. For k bad records among n that takes
about k x (log2(n / k) + 3) requests.

A record is bad when it was refused all by itself, never by inference: a body that is too large as a whole has no bad
record in it.

It rests on a refusal being atomic: that no record of a refused request was applied.
"""

from __future__ import annotations

import attrs

__all__ = ["Search"]


@attrs.define
class Search:
    """The search of one refused range of ``count`` records, counted from 0.

    Ask ``next_range`` for (start, stop) to send, tell ``accepted``, ``refused`` or ``lost`` of it, until it is None.
    ``bad`` then holds the records that are refused by themselves.
    """

    count: int
    bad: list[int] = attrs.field(factory=list)
    _start: int = 0
    _known: int | None = None
    """End of the shortest range from ``_start`` that is known to hold a bad record."""
    _group: int = 0
    _sent: tuple[int, int] | None = None

    def __attrs_post_init__(self) -> None:
        """Begin with what is known: the whole was refused."""
        self._known = self.count
        if self.count == 1:
            self._found()

    @property
    def rest(self) -> tuple[int, int]:
        """What no request has settled yet, as (start, stop)."""
        return self._start, self.count

    def next_range(self) -> tuple[int, int] | None:
        """Return what to send next; None when every record is settled."""
        if self._start >= self.count:
            return None
        if self._known is not None:
            stop = self._start + max(1, (self._known - self._start) // 2)
        else:
            stop = min(self.count, self._start + self._group)
        self._sent = self._start, stop
        return self._sent

    def accepted(self) -> None:
        """The range was accepted: what was refused with it must lie behind it."""
        assert self._sent is not None
        self._start = self._sent[1]
        if self._known is None:
            self._group *= 2
        elif self._start >= self._known:
            self._go_on()

    def refused(self) -> None:
        """The range was refused: a bad record lies in it."""
        assert self._sent is not None
        if self._sent[1] - self._start == 1:
            self._found()
        else:
            self._known = self._sent[1]

    def lost(self) -> None:
        """The range ended otherwise; it is settled, and proves nothing about its neighbours."""
        assert self._sent is not None
        self._start = self._sent[1]
        self._known = None
        self._group = max(1, self._group, self._sent[1] - self._sent[0])

    def _found(self) -> None:
        gap = self._start - (self.bad[-1] if self.bad else -1)
        self.bad.append(self._start)
        self._start += 1
        self._go_on(gap)

    def _go_on(self, gap: int = 1) -> None:
        """Try what comes behind in a group of a size that is likely to hold about one bad record."""
        self._known = None
        self._group = max(1, 2 * gap, 2 * self._start // max(1, len(self.bad)))
