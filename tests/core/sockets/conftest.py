"""What crosses real sockets runs in asyncio's own loop, and in uvloop where that is to be had: web servers use it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}

if sys.platform != "win32":
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOPS
