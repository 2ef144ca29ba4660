"""The queue of outcomes between a bulk run's workers and whoever iterates the run, if anybody does."""

from __future__ import annotations

import asyncio

import attrs

from mobiz_async.reports import ChunkOutcome

__all__ = ["Outlet"]


class Outlet:
    """A queue of outcomes. Somebody who iterates slows the workers down to their own pace; nobody else does.

    Before anybody begins to iterate (``iterated``) or says that nobody will (``let_go``), every outcome is kept, as
    somebody may come yet; but only the first few with their records, so that memory stays small.
    """

    def __init__(self, places: int) -> None:
        """``places``: how many outcomes wait before a worker does, or before they are kept without their records."""
        self._places = places
        self._outcomes: asyncio.Queue[ChunkOutcome | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()
        self._watched = True
        self._iterated = False
        self._ended = False

    def iterated(self) -> None:
        """Somebody has begun to take outcomes."""
        self._iterated = True

    async def take(self) -> ChunkOutcome | None:
        """Return the next outcome, or None at the end, which stays the end for whoever asks again."""
        outcome = await self._outcomes.get()
        if outcome is None:
            self._outcomes.put_nowait(None)
        elif self._outcomes.qsize() < self._places:
            self._room.set()
        return outcome

    def put(self, chunk: ChunkOutcome) -> None:
        """Give an outcome to whoever takes them."""
        if self._watched:
            full = self._outcomes.qsize() >= self._places
            self._outcomes.put_nowait(attrs.evolve(chunk, body=None) if full and not self._iterated else chunk)

    async def room(self) -> None:
        """Wait until there is room again, where somebody takes them."""
        if self._watched and self._iterated and self._outcomes.qsize() >= self._places:
            self._room.clear()
            await self._room.wait()

    def let_go(self) -> None:
        """Nobody takes outcomes any more: release the workers that wait to hand one over."""
        self._watched = False
        self._room.set()
        while not self._outcomes.empty():
            self._outcomes.get_nowait()
        if self._ended:
            self._outcomes.put_nowait(None)

    def end(self) -> None:
        """There will be no more of them."""
        self._ended = True
        self._outcomes.put_nowait(None)
