"""Whether the file that a journal has open is still the one that the next run would open.

On POSIX a file that is open can be removed, moved away or replaced, and whoever writes to it notices nothing. All that
is sent from then on would be known to no later run: the same call would find no journal, or another one, and send it
again. So it is looked for before each intent, which costs one ``stat`` beside a commit.
"""

from __future__ import annotations

import os
from pathlib import Path

from mobiz_async.errors import JournalLostError

__all__ = ["Place"]


class Place:
    """Where the file of one journal is, and which file it is."""

    def __init__(self, path: Path) -> None:
        """``path`` is where it is now, open already: some file systems number a file anew when it is opened to write.

        Raises ``OSError``.
        """
        self._name = path
        self._path = os.path.abspath(path)  # the process may go elsewhere  # noqa: PTH100  pathlib leaves .. in it
        self._file, self._size = self._look()

    def _look(self) -> tuple[tuple[int, int], int]:
        found = os.stat(self._path)  # noqa: PTH116  one call, before each intent
        return (found.st_dev, found.st_ino), found.st_size

    def check(self) -> None:
        """Raise ``JournalLostError`` where there is no file any more, another one, or the same but shorter.

        Nothing makes it shorter while it is written to: bodies are overwritten, and it is compacted at the end.
        """
        try:
            file, size = self._look()
        except OSError:
            lost = True
        else:
            lost = file != self._file or size < self._size
            self._size = size
        if lost:
            raise JournalLostError(
                f"the journal is not at {self._name} any more: it was removed, moved or replaced while it was in use; "
                "nothing is sent without it"
            )
