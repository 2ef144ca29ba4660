"""A command line run in this process, and a sandbox in a thread of its own to send to."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from commanded import Ended, Threaded, running, start

from mobiz_async.cli.app import run
from mobiz_async.sandbox import Sandbox


@pytest.fixture
def started() -> Callable[..., AbstractContextManager[subprocess.Popen[str]]]:
    """Starts a command in a process of its own."""
    return start


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
