"""Ending what goes on: tasks, those that have to be finished first, and what is in another thread's loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

__all__ = ["end", "outlast", "tell"]


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs, and wait until nothing does."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def outlast(*tasks: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Wait until ``tasks`` are done, whatever happens; return the cancellation that came meanwhile, to be raised."""
    cancelled: asyncio.CancelledError | None = None
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled


def tell(loop: asyncio.AbstractEventLoop | None, call: Callable[[], None]) -> None:
    """Make a call that is for ``loop`` from wherever this is; where that is the loop itself, or there is none, at once.

    A handler of ``signal.signal`` is in the loop's own thread, but may have interrupted it while it waits: it is woken.
    """
    if loop is not None and loop is not _running():
        _wake(loop, call)
        return
    call()
    if loop is not None:
        _wake(loop, _nothing)


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _wake(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # it is closed, and what went on in it has ended with it
        loop.call_soon_threadsafe(call)


def _nothing() -> None:
    """Wakes a loop up."""
