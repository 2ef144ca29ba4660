"""The functions of the caller that a bulk run calls, and what becomes of a run that one of them breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from mobiz_async.options import BulkOptions
from mobiz_async.recipients.stages import Problem
from mobiz_async.reports import Stats
from mobiz_async.unseen import theirs

__all__ = ["Callbacks"]

T = TypeVar("T")


class Callbacks:
    """Calls back until one raises, which ends the run and is raised when it is over.

    Not where it happens: there a chunk is being settled, and the books and the journal have to hear of it all the same.
    """

    def __init__(self, options: BulkOptions, ended: Callable[[], None]) -> None:
        """``ended`` is called when one has raised."""
        self._progress = options.progress
        self._on_skipped = options.on_skipped
        self._ended = ended
        self.error: BaseException | None = None
        """What one has raised; none is called any more then."""

    def progress(self, stats: Callable[[], Stats]) -> None:
        """Show the counts, where anybody looks at them."""
        if self._progress is not None:
            self._call(self._progress, stats())

    def skipped(self, problem: Problem) -> None:
        """Hand out a record that is not to be sent."""
        if self._on_skipped is not None:
            self._call(self._on_skipped, problem)

    def _call(self, callback: Callable[[T], None], told: T) -> None:
        if self.error is not None:
            return
        try:
            callback(told)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  it is raised when the run is over
            self.error = theirs(error)
            self._ended()
