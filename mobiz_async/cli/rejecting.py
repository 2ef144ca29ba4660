"""The file of rejects of one `mobiz send`: what may become it, what it was before, and what happens when it is full."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from mobiz_async.cli.places import is_of_journal, same_place
from mobiz_async.errors import ConfigurationError
from mobiz_async.models import Outcome
from mobiz_async.recipients.rejects import RejectsWriter, check_name, is_file_of_rejects, is_there_already
from mobiz_async.recipients.stages import Problem
from mobiz_async.reports import ChunkOutcome

__all__ = ["Rejects"]

_LONGEST = ".{}.wider"
"""The longest name that is derived from its own, where the file is written anew."""
_BLOCK = 1 << 20
_REASONS = {
    Outcome.REJECTED: "rejected",
    Outcome.NOT_SENT: "not sent",
    Outcome.UNKNOWN: "unknown: it may have been sent, ask the vendor first",
}


class Rejects:
    """Keeps the records that did not go, but for those that the same command sends when it goes on with a journal.

    A run that goes on meets all that was held back or refused before it again: the file is made anew, in full. What it
    was before, perhaps mended by now, is kept beside it, unless the new one begins with all of it: so it does where the
    earlier run was killed, and one that is killed again and again leaves one such file and not one each time.
    """

    def __init__(self, path: Path, *, journal: Path | None, read: Iterable[Path], going_on: bool) -> None:
        """Change nothing yet.

        ``read`` are the files that the command reads. ``going_on``: the journal is there already, and so may be a file
        of its rejects.

        Raises:
            ConfigurationError: it cannot be written, or something is there that must not be written over.

        """
        self.path = path
        self.count = 0
        """Records written so far."""
        self.failure: OSError | None = None
        """What has kept it from being complete."""
        self.kept: Path | None = None
        """Where the file of rejects that was there is now."""
        self._journal = journal
        self._going_on = going_on
        self._writer: RejectsWriter | None = None
        self._stop: Callable[[], object] = lambda: None
        check_name(path)
        if any(same_place(path, other) for other in read) or (journal is not None and is_of_journal(path, journal)):
            raise ConfigurationError(f"{path} is to be read, or is the journal's: rejects need a file of their own")
        try:
            self._check()
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None

    def _check(self) -> None:
        os.stat(self.path.absolute().parent)  # noqa: PTH116  # with its reason, where it is not there
        with contextlib.suppress(FileNotFoundError):
            self.path.with_name(_LONGEST.format(self.path.name)).lstat()
        if self.path.exists() and not self._going_on:
            raise is_there_already(self.path)
        if self.path.exists() and not is_file_of_rejects(self.path):
            raise ConfigurationError(f"{self.path} exists and is no file of rejects; it is not written over")
        if not os.access(self.path.absolute().parent, os.W_OK):
            raise ConfigurationError(f"{self.path} cannot be written: its folder is not writable")

    @property
    def complaint(self) -> str | None:
        """What to say where the file is not complete."""
        if self.failure is None:
            return None
        why = self.failure.strerror or type(self.failure).__name__
        return f"{self.path} cannot be written ({why}): it is not complete, and the run was stopped"

    def begin(self, fields: Iterable[str] | None, stop: Callable[[], object]) -> None:
        """Make the file, once the run has begun; ``stop`` is called where it cannot be written any more."""
        self._stop = stop
        if self._going_on:
            self._keep()
        # Otherwise nothing was there. What is there by now is somebody else's, and is not written over either.
        self._writer = RejectsWriter(self.path, fields)

    def _keep(self) -> None:
        try:
            if not self.path.stat().st_size:  # of a run that was killed as it began
                self.path.unlink()
                return
            self.kept = self._moved_aside()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be kept beside: {error.strerror}") from None

    def _moved_aside(self) -> Path:
        number = next(number for number in itertools.count(1) if not self._numbered(number).exists())
        free, last = self._numbered(number), self._numbered(number - 1)
        if number > 1 and _begins_with(last, self.path):
            self.path.unlink()
            return last
        if number > 1 and _begins_with(self.path, last):
            free = last
        return self.path.replace(free)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def write_problem(self, problem: Problem) -> None:
        """Keep a record that a check held back, unless that was the caller's wish."""
        self._write(lambda writer: writer.write_problem(problem))

    def write_chunk(self, chunk: ChunkOutcome) -> None:
        """Keep the records of a chunk that was not accepted."""
        if self._journal is not None and chunk.pending:
            return  # the same command sends it; whoever sent the file of rejects as well would text people twice
        reason = _REASONS[chunk.outcome]
        if chunk.status is not None:
            reason = f"{reason} (HTTP {chunk.status})"

        def write(writer: RejectsWriter) -> None:
            for row, record in chunk.records():
                writer.write(record, row=row, reason=reason)

        self._write(write)

    def _write(self, write: Callable[[RejectsWriter], None]) -> None:
        if self._writer is None or self.failure is not None:
            return
        try:
            write(self._writer)
        except OSError as error:
            self.failure = error
            self._stop()
        self.count = self._writer.count

    def end(self) -> None:
        """Close the file. One that begins with all that was there before replaces it."""
        if self._writer is None:
            return
        try:
            self._writer.close()
        except OSError as error:
            self.failure = self.failure or error
        with contextlib.suppress(OSError):
            if self.kept is not None and _begins_with(self.path, self.kept):
                self.kept.unlink()
                self.kept = None


def _begins_with(path: Path, beginning: Path) -> bool:
    """Whether all of ``beginning`` is in ``path``; False where one of them cannot be read."""
    with contextlib.suppress(OSError), path.open("rb") as longer, beginning.open("rb") as shorter:
        return all(longer.read(len(block)) == block for block in iter(partial(shorter.read, _BLOCK), b""))
    return False
