"""The ``mobiz`` command. It needs the extra ``cli``: ``pip install 'mobiz-async[cli]'``.

Keys come from the environment and never from arguments, which every user of a machine can read in its process list.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

_USAGE = 2
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (the process's own when None) and return its exit code; see ``cli.exits``."""
    try:
        import click  # noqa: F401, PLC0415  # an extra
        import rich  # noqa: F401, PLC0415  # the same
    except ImportError:
        sys.stderr.write("the mobiz command needs: pip install 'mobiz-async[cli]'\n")
        return _USAGE
    try:
        from mobiz_async.cli.app import run  # noqa: PLC0415  # needs the extra
    except KeyboardInterrupt:  # it takes a moment
        return _INTERRUPTED
    return run(argv)
