"""The ``mobiz`` command. It needs the extra ``cli``: ``pip install 'mobiz-async[cli]'``.

Keys come from the environment and never from arguments, which every user of a machine can read in its process list.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

__all__ = ["load", "main"]

_USAGE = 2
_INTERRUPTED = 130

Run = Callable[[Sequence[str] | None], int]
"""Runs a command line, the process's own when None, and returns its exit code; see ``cli.exits``."""


def load() -> Run:
    """Return what runs a command line, which takes a moment to load; without the extra it says what to install."""
    try:
        import click  # noqa: F401, PLC0415  # an extra
        import rich  # noqa: F401, PLC0415  # the same
    except ImportError:
        return _without_extra
    from mobiz_async.cli.app import run  # noqa: PLC0415  # needs the extra

    return run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (the process's own when None) and return its exit code; see ``cli.exits``."""
    try:
        run = load()
    except KeyboardInterrupt:
        return _INTERRUPTED
    return run(argv)


def _without_extra(argv: Sequence[str] | None) -> int:
    del argv
    sys.stderr.write("the mobiz command needs: pip install 'mobiz-async[cli]'\n")
    return _USAGE
