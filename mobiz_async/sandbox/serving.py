"""Runs a sandbox as a process of its own: ``python -m mobiz_async.sandbox``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from mobiz_async.sandbox.faults import Faults
from mobiz_async.sandbox.limits import rate
from mobiz_async.sandbox.server import Sandbox

__all__ = ["KEYS", "announce", "made", "main", "serve"]

KEYS = {"api_key": "MOBIZ_SANDBOX_API_KEY", "subscription_key": "MOBIZ_SANDBOX_SUBSCRIPTION_KEY"}
"""Setting of a sandbox -> the environment variable that it comes from, where that is set."""

_STDIN = 0


def made(**settings: Any) -> Sandbox:
    """Return a sandbox with these settings, and the keys of the environment."""
    settings |= {name: os.environ[variable] for name, variable in KEYS.items() if os.environ.get(variable)}
    return Sandbox(**settings)


def announce(sandbox: Sandbox) -> None:
    """Write one line of JSON to standard output: ``{"base_url": ..., "pid": ...}``."""
    sys.stdout.write(json.dumps({"base_url": sandbox.base_url, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()


async def serve(
    sandbox: Sandbox,
    *,
    lifetime: float | None = None,
    until_stdin_closes: bool = False,
    announce: Callable[[Sandbox], None] = announce,
) -> None:
    """Run ``sandbox`` until SIGINT or SIGTERM, the end of standard input where asked for, or ``lifetime`` seconds.

    ``announce`` is called when it is ready; by default it writes one line of JSON to standard output.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    handled = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(
            NotImplementedError, RuntimeError
        ):  # no signals on Windows and outside the main thread
            loop.add_signal_handler(number, stop.set)
            handled.append(number)
    try:
        async with sandbox:
            if until_stdin_closes:
                threading.Thread(target=_watch_stdin, args=(loop, stop), daemon=True).start()
            announce(sandbox)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), lifetime)
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # os.read, not sys.stdin: a thread inside a buffered reader aborts the interpreter's shutdown.
    with contextlib.suppress(OSError):
        while os.read(_STDIN, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # the loop has ended on its own
        loop.call_soon_threadsafe(stop.set)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mobiz_async.sandbox",
        description="A local Mobiz: behaves as documented, misbehaves on demand, knows what it applied. Its keys are "
        "those in MOBIZ_SANDBOX_API_KEY and MOBIZ_SANDBOX_SUBSCRIPTION_KEY, or 'sandbox-api-key' and "
        "'sandbox-subscription-key'.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--log", metavar="FILE", help="one fsynced line for each applied request")
    parser.add_argument("--identity", metavar="FIELD", help="tell records apart by this field, not the phone number")
    parser.add_argument("--faults", type=Faults.parse, help="always:F | every:N:F | script:F,-,F | seeded:SEED:F=P,F=P")
    parser.add_argument("--rate-limit", type=rate, help="REQUESTS/SECONDS, or every/N for a 429 to each N-th")
    parser.add_argument("--keep-records", type=int, default=10_000, help="records whose content is kept")
    parser.add_argument("--lifetime", type=float, metavar="SECONDS", help="stop by itself after so long")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when standard input ends")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sandbox as the command line says; return the exit code."""
    given = _parser().parse_args(argv)
    sandbox = made(
        host=given.host,
        port=given.port,
        log=given.log,
        identity=given.identity,
        faults=given.faults,
        rate_limit=given.rate_limit,
        keep_records=given.keep_records,
    )
    try:
        asyncio.run(serve(sandbox, lifetime=given.lifetime, until_stdin_closes=given.until_stdin_closes))
    except OSError as error:
        sys.stderr.write(f"the sandbox cannot run: {error}\n")
        return 1
    return 0
