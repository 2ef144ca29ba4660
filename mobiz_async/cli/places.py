"""Which names stand for one file: what a journal needs is nobody else's to read, to write or to move away."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_of_journal", "same_place"]

_BESIDE = ("", "-journal", "-wal", "-shm")
"""What SQLite keeps beside a database, and the database itself."""


def same_place(one: Path, other: Path) -> bool:
    """Return whether both are one file, by whatever names; neither has to be there."""
    # Neither is opened: to close a descriptor of a file drops the locks that the process has on it.
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return one.samefile(other)
    except OSError:
        return False


def is_of_journal(path: Path, journal: Path) -> bool:
    """Return whether ``path`` is ``journal`` or belongs to it; neither has to be there yet."""
    kept = os.path.realpath(journal)
    return any(same_place(path, Path(kept + ending)) for ending in _BESIDE)
