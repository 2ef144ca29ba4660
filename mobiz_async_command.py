"""The way into the ``mobiz`` command, there before the package is: loading that takes some half a second.

It stands beside the package, since whatever is imported from a package loads the package first. Until the command
begins its work, and once it has ended, a signal ends the process at once and without a word: there is nothing to tidy
up, and what an exception leaves on the screen from the middle of an import is of no use to anybody. That is said by a
handler, since the first process of a container is not ended by a signal without one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable
from types import FrameType

__all__ = ["main"]

_SIGNALLED = 128
_INTERRUPTED = 130
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_AS_EVER = (signal.SIG_DFL, signal.default_int_handler)


def main() -> int:
    """Run the command line of this process and return its exit code; see ``mobiz_async.cli.exits``."""
    # Whoever started the process may have a signal ignored: that is left as it is.
    heeded = [number for number in _SIGNALS if signal.getsignal(number) in _AS_EVER]
    _leave_on(heeded)
    from mobiz_async.cli import load  # noqa: PLC0415  # this is what takes so long

    run = load()
    if signal.SIGINT in heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = run(None)
    except KeyboardInterrupt:  # in the moment before the command expects one, or after
        code = _INTERRUPTED
    _leave_on(heeded, code)
    if code > _SIGNALLED:
        # Whoever asked it to end is not kept waiting for a thread that looks up a name, as the interpreter would be.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # it may be full, closed or missing
                stream.flush()
        os._exit(code)
    return code


def _leave_on(numbers: Iterable[int], code: int | None = None) -> None:
    """End the process on any of these signals, with ``code``, or as the signal has it."""

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        os._exit(128 + number if code is None else code)

    for number in numbers:
        signal.signal(number, leave)
