"""The queue of requests that wait for a permit: in which order they are served, and how they are turned away."""

from __future__ import annotations

import asyncio
import collections
import itertools
from typing import TypeVar

__all__ = ["Waiters"]

T = TypeVar("T")


class Waiters(collections.OrderedDict["asyncio.Future[T | None]", tuple[int, int]]):
    """Future -> (ticket, records), in the order of tickets; None is the answer of those who are turned away."""

    def enter(self, future: asyncio.Future[T | None], ticket: int, records: int) -> None:
        """Take ``future`` in: at the end, or where its ticket says when it has been here before."""
        earlier: list[asyncio.Future[T | None]] = []
        returned = bool(self) and next(reversed(self.values()))[0] > ticket
        if returned:
            earlier.extend(itertools.takewhile(lambda other: self[other][0] < ticket, self))
        self[future] = (ticket, records)
        if returned:
            for other in (future, *reversed(earlier)):
                self.move_to_end(other, last=False)

    def turn_away(self) -> None:
        """Tell everybody that there is nothing to wait for."""
        while self:
            future, _ = self.popitem(last=False)
            if not future.done():
                future.set_result(None)
