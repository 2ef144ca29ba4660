"""The way into the ``mobiz`` command, there before the package is: loading that takes some half a second.

It stands beside the package, since whatever is imported from a package loads the package first. Until the command
begins its work, and once it has ended, Ctrl-C ends the process at once and without a word: there is nothing to tidy up,
and what an exception leaves on the screen from the middle of an import is of no use to anybody.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> int:
    """Run the command line of this process and return its exit code; see ``mobiz_async.cli.exits``."""
    # Whoever started the process may have Ctrl-C ignored: that is left as it is.
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:
        _leave_on_ctrl_c(_INTERRUPTED)
    from mobiz_async.cli import load  # noqa: PLC0415  # this is what takes so long

    run = load()
    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = run(None)
    except KeyboardInterrupt:  # in the moment before the command expects one, or after
        code = _INTERRUPTED
    if heeded:
        _leave_on_ctrl_c(code)
    return code


def _leave_on_ctrl_c(code: int) -> None:
    def leave(number: int, frame: FrameType | None) -> None:
        del number, frame
        os._exit(code)

    signal.signal(signal.SIGINT, leave)
