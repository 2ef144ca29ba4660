"""A command in a process of its own, how it ended, and a sandbox in a thread of its own to send to."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import attrs

from mobiz_async.sandbox import Sandbox

TIMEOUT = 30.0
COMMAND = (sys.executable, "-m", "mobiz_async.cli")


@contextmanager
def start(*argv: object, **settings: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a command; kill it where the test did not bring it to its end."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait(TIMEOUT)


@attrs.frozen
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Threaded:
    """A sandbox whose loop runs in another thread, as the command has the main thread's."""

    def __init__(self, sandbox: Sandbox, loop: asyncio.AbstractEventLoop) -> None:
        self.sandbox = sandbox
        self._loop = loop

    def ask(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def until(self, condition: Callable[[], bool]) -> None:
        self.ask(self.sandbox.until(condition)).result(TIMEOUT)

    def call(self, function: Callable[[], object]) -> None:
        async def do() -> None:
            function()

        self.ask(do()).result(TIMEOUT)


@contextmanager
def running(sandbox: Sandbox) -> Iterator[Threaded]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    threaded = Threaded(sandbox, loop)
    try:
        threaded.ask(sandbox.__aenter__()).result(TIMEOUT)
        yield threaded
        threaded.ask(sandbox.__aexit__()).result(TIMEOUT)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
