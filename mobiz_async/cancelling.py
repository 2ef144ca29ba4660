"""Waiting for what has to be finished although its caller is cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["outlast"]


async def outlast(*tasks: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Wait until ``tasks`` are done, whatever happens; return the cancellation that came meanwhile, to be raised."""
    cancelled: asyncio.CancelledError | None = None
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled
