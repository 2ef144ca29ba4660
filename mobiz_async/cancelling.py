"""Waiting for tasks: those that have to be finished although their caller is cancelled, and those that are."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["end", "outlast"]


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
