"""A lock on a journal's file beside SQLite's, which a program can lose without knowing.

By POSIX a process gives up all its locks on a file with the first descriptor of it that it closes. So a program that
sends, and makes a copy or a checksum of its journal meanwhile, drops the lock that SQLite holds, unseen: a second
sender would be let in. On Linux a lock that belongs to one open descriptor is held as well (``F_OFD_SETLK``, fcntl(2)).
Windows knows no such loss. Elsewhere there is SQLite's lock alone.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from pathlib import Path

__all__ = ["Lock"]


class Lock:
    """The lock on one file, from its making until ``release``, or the end of the process."""

    def __init__(self, path: Path) -> None:
        """Take it; raise ``BlockingIOError`` at once where another process has it.

        The caller sees to it that this process has it only once: a descriptor that is closed takes SQLite's lock with
        it, and so would the second one's.
        """
        self._descriptor = _locked(path)

    def release(self) -> None:
        """Let go of it. SQLite's connection has to be closed by now. Harmless a second time."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            _HELD.discard(descriptor)
            os.close(descriptor)


_HELD: set[int] = set()
"""Descriptors, for children that are forked: in them a lock would outlive this process."""


if sys.platform == "linux":
    import fcntl

    _FAR_BEYOND_THE_END = (1 << 62, 1)
    """Where in the file, and how many bytes: SQLite locks and writes nothing there."""

    def _locked(path: Path) -> int | None:
        """Return a descriptor that holds the lock; None where that cannot be had: SQLite says why, if it matters."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, *_FAR_BEYOND_THE_END, 0)  # struct flock
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, asked)
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:  # a file system that knows none of the kind
            os.close(descriptor)
            return None
        _HELD.add(descriptor)
        return descriptor

    def _forked() -> None:
        for descriptor in _HELD:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        _HELD.clear()

    os.register_at_fork(after_in_child=_forked)
else:

    def _locked(path: Path) -> int | None:
        del path
        return None
