"""Where `mobiz journal export` writes to: a file that is there in full or not at all, or whatever else has a name."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from mobiz_async.cli.exits import HANGUP, exit_of_signal
from mobiz_async.cli.places import is_of_journal, same_place
from mobiz_async.errors import ConfigurationError, MobizError

__all__ = ["exported", "refuse_journal"]

_OPEN_ALREADY = re.compile("/dev/(stdout$|stderr$|fd/)")
"""Names of what this process has open. It need not be a device: `-o /dev/stdout >>all.jsonl`."""


def refuse_journal(output: Path, journal: Path) -> None:
    """Raise ``ConfigurationError`` where ``output`` is the file ``journal``, by whatever name, or belongs to it."""
    if same_place(output, journal):
        raise ConfigurationError(f"{output} is the journal itself; nothing was changed")
    if is_of_journal(output, journal):
        raise ConfigurationError(f"{output} belongs to the journal; nothing was changed")


@contextlib.contextmanager
def exported(output: Path | None) -> Iterator[BinaryIO]:
    """Yield what to write the bytes to; None is standard output.

    A regular file is written beside its place, readable by its owner only, and put there when the block has ended well;
    a link is replaced, and what it points to is left alone. A device or a pipe is written to as it is.

    Raises ``ConfigurationError`` where it cannot be opened, ``MobizError`` where it cannot be written.
    """
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        target = _as_it_is(output) if _is_special(output) else None
        temporary = None if target is not None else _beside(output)
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}") from None
    try:
        if target is not None:
            with target:
                yield target
        elif temporary is not None:
            with _put_into_place(temporary, output) as file:
                yield file
    except OSError as error:
        raise MobizError(f"{output} cannot be written: {error.strerror}") from None


def _is_special(output: Path) -> bool:
    if output.absolute().is_relative_to("/proc") or _OPEN_ALREADY.match(str(output.absolute())):
        return True
    try:
        mode = output.stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode)


def _as_it_is(output: Path) -> BinaryIO:
    # Appended to: in a regular file that is open already, what is there stays.
    return os.fdopen(os.open(output, os.O_WRONLY | os.O_APPEND), "wb")


def _beside(output: Path) -> tuple[int, str]:
    if output.exists() and not os.access(output, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return tempfile.mkstemp(prefix=".mobiz-", suffix=".part", dir=output.parent)


@contextlib.contextmanager
def _put_into_place(temporary: tuple[int, str], output: Path) -> Iterator[BinaryIO]:
    descriptor, name = temporary
    try:
        with _terminated_in_order():
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(output)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


@contextlib.contextmanager
def _terminated_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as an exception does; else they would leave the temporary file behind."""

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        sys.exit(int(exit_of_signal(number)))

    heeded = [number for number in (signal.SIGTERM, HANGUP) if number and signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, leave) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
