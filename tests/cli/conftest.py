"""A command line run in this process, and a sandbox in a thread of its own to send to."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from mobiz_async.cli.app import run
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


@pytest.fixture
def started() -> Callable[..., AbstractContextManager[subprocess.Popen[str]]]:
    """Starts a command in a process of its own."""
    return start


@attrs.frozen
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Runs a command line."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*argv: object) -> Ended:
        capfd.readouterr()
        code = run([str(word) for word in argv])
        written = capfd.readouterr()
        return Ended(code, written.out, written.err)

    return call


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


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sandbox], None]:
    """Puts a sandbox's address and keys into the environment."""

    def use(sandbox: Sandbox) -> None:
        monkeypatch.setenv("MOBIZ_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("MOBIZ_API_KEY", "sandbox-api-key")
        monkeypatch.setenv("MOBIZ_SUBSCRIPTION_KEY", "sandbox-subscription-key")
        monkeypatch.setenv("MOBIZ_USERNAME", "sandbox-user")

    return use


@pytest.fixture
def served(account: Callable[[Sandbox], None]) -> Iterator[Threaded]:
    """A sandbox, and an environment that points to it."""
    with running(Sandbox()) as threaded:
        account(threaded.sandbox)
        yield threaded


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a CSV file of so many good recipients, or one of these lines."""

    def write(*lines: str, count: int = 0, name: str = "spring.csv") -> Path:
        path = tmp_path / name
        numbered = [f"2782{index:07}" for index in range(1, count + 1)]
        path.write_text("\n".join([*(lines or ("Number",)), *numbered]) + "\n")
        return path

    return write
