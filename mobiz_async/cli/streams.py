"""The streams of the process: one that is full, gone or missing ends in no traceback, and in no other exit code.

What became of the messages decides how a command ends. So a write that fails is told once and remembered; nothing is
raised, and what is written afterwards is dropped.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, TextIO, cast

from mobiz_async.errors import ConfigurationError

__all__ = ["BinaryOutput", "MissingInput", "Output", "delivered", "guarded", "output_failed"]


class Output:
    """Standard output or standard error; ``stream`` is None where the process was started without it.

    ``tell`` is given one line when writing fails for the first time, unless the reader has merely gone (``| head``).
    ``ahead`` is handed over before anything is written here: both may end in one file, whose lines are then in order.
    """

    closed = False

    def __init__(self, stream: TextIO | None, name: str, tell: Callable[[str], object] | None = None) -> None:
        """Write to ``stream`` from now on."""
        self._stream = stream
        self._name = name
        self._tell = tell
        self.ahead: Output | None = None
        self.failed = False
        """Whether anything that was written may be lost."""
        self.used = False
        """Whether anything was written at all."""

    @property
    def encoding(self) -> str:
        """How text becomes bytes."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:
        """What becomes of characters that the encoding does not have."""
        return getattr(self._stream, "errors", None) or "strict"

    @property
    def buffer(self) -> BinaryOutput:
        """The stream below, for bytes."""
        self.flush()
        return BinaryOutput(self)

    def write(self, text: str) -> int:
        """Write, or drop it where writing has failed."""
        if not isinstance(text, str):
            raise TypeError(f"text is written here, not {type(text).__name__}")
        self.attempt(lambda stream: _write(stream, text, self.encoding), len(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write one after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand over what waits."""
        if self._stream is not None:
            self.attempt(lambda stream: stream.flush(), 0)

    def isatty(self) -> bool:
        """Whether it is a terminal that still works."""
        try:
            return self._stream is not None and not self.failed and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        """Return the descriptor; raises ``OSError`` where there is none."""
        if self._stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._stream.fileno()

    def attempt(self, act: Callable[[Any], object], size: int) -> None:
        """Do ``act`` with the stream, which writes ``size`` characters or bytes."""
        self.used = self.used or bool(size)
        if self.failed:
            return
        if self.ahead is not None:
            self.ahead.flush()
        try:
            if self._stream is not None:
                act(self._stream)
            elif size:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))  # noqa: TRY301  # what a closed descriptor says
        except (OSError, ValueError) as error:
            self._fail(error)

    def _fail(self, error: OSError | ValueError) -> None:
        self.failed = True
        _drop_what_waits(self._stream)
        if self._tell is not None and not isinstance(error, BrokenPipeError):
            reason = error.strerror if isinstance(error, OSError) else None
            self._tell(f"error: {self._name}: {reason or 'it is closed'}")


class BinaryOutput:
    """The bytes below an ``Output``; they fail as it does."""

    closed = False

    def __init__(self, output: Output) -> None:
        """Share the fate of ``output``."""
        self._output = output

    def write(self, block: bytes) -> int:
        """Write, or drop it where writing has failed."""
        if not isinstance(block, (bytes, bytearray, memoryview)):
            raise TypeError(f"bytes are written here, not {type(block).__name__}")
        self._output.attempt(lambda stream: stream.buffer.write(block), len(block))
        return len(block)

    def writelines(self, blocks: Iterable[bytes]) -> None:
        """Write one after the other."""
        for block in blocks:
            self.write(block)

    def flush(self) -> None:
        """Hand over what waits."""
        self._output.flush()


class MissingInput:
    """Standard input of a process that was started without: nobody answers, and there are no recipients."""

    encoding = "utf-8"
    errors = "strict"
    closed = False

    @property
    def buffer(self) -> NoReturn:
        """Raise ``ConfigurationError``: whoever asks wants recipients."""
        raise ConfigurationError("there is no standard input to read from: it is closed")

    def fileno(self) -> int:
        """Raise ``OSError``."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def isatty(self) -> bool:
        """Return False."""
        return False

    def readline(self, size: int = -1) -> str:
        """Return the end of the file."""
        del size
        return ""


@contextlib.contextmanager
def guarded() -> Iterator[Output]:
    """Replace the streams of ``sys`` within the block; yield standard output, which is flushed at the end."""
    before = sys.stdin, sys.stdout, sys.stderr
    if None in before:
        _occupy_descriptors()
    error = Output(before[2], "standard error")
    output = Output(before[1], "standard output", lambda line: error.write(f"{line}\n"))
    error.ahead = output
    if before[0] is None:
        sys.stdin = cast("TextIO", MissingInput())
    sys.stdout, sys.stderr = cast("TextIO", output), cast("TextIO", error)
    try:
        yield output
    finally:
        output.flush()
        error.flush()
        sys.stdin, sys.stdout, sys.stderr = before


def output_failed() -> bool:
    """Return whether standard output could not be written, as far as that is known."""
    return isinstance(sys.stdout, Output) and sys.stdout.failed


def delivered(code: int = 0) -> int:
    """Return ``code``; 1 instead of 0 where standard output, for whose sake a command is run, could not be written."""
    sys.stdout.flush()
    return code or int(output_failed())


def _write(stream: TextIO, text: str, encoding: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _occupy_descriptors() -> None:
    """Let no file that is opened later become standard input, output or error of this process or its children."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free: this one


def _drop_what_waits(stream: TextIO | None) -> None:
    """Throw away what a stream could not get rid of, or the interpreter tries again at its end, and ends with 120."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        number = cast("TextIO", stream).fileno()
        inheritable = os.get_inheritable(number)
        kept, nowhere = os.dup(number), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, number)
            cast("TextIO", stream).flush()
        finally:
            os.dup2(kept, number, inheritable)
            os.close(kept)
            os.close(nowhere)
