"""What must not show in a traceback with locals: records and options on their way in, and what raises over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from traceback import clear_frames
from types import TracebackType
from typing import TypeVar

__all__ = ["Hidden", "hide", "theirs", "unseen", "without_ours"]

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

_OURS = (str(Path(__file__).parent), "<attrs generated")


Hidden = Iterator
"""One value that an exception's frames must not show, until ``next`` takes it out.

An exception carries every frame it passes, and error trackers print the locals of each. Of an iterator they print its
type, and one that has given its value has forgotten it.
"""


def hide(value: T) -> Hidden[T]:
    """Return ``value``, hidden; the caller deletes its own name for it, and takes it out in an expression."""
    return iter((value,))


def unseen(call: Hidden[Callable[[], T]]) -> T:
    """Return what the hidden call returns. What it raises comes out without our frames, where its arguments show.

    It is for calls that look at what they are given and refuse it, where the message says it all.
    """
    try:
        return next(call)()
    except Exception as error:  # noqa: BLE001  a caller's iterable may raise anything
        raised = without_ours(error)
    if raised.__suppress_context__:
        raised.__context__ = None  # "from None" hides it from the traceback, and keeps its frames all the same
    raise raised


def without_ours(error: E) -> E:
    """Return ``error`` without the frames of ours that it has passed before it came to any other.

    Unlike ``theirs`` it empties none, so it is for an exception that several who wait are given as well: among its
    frames are those of coroutines that go on, which would be ended by it.
    """
    return error.with_traceback(_beyond_ours(error.__traceback__))


def theirs(error: E) -> E:
    """Return what the caller has caught without our frames. Where there are no others, they stay, but without locals.

    It is for exceptions of code that is not ours, which are to be found where they were raised.
    """
    caught = error.__traceback__
    below = caught.tb_next if caught is not None else None  # the caller's own frame cannot be emptied: it still runs
    trace = _beyond_ours(below)
    if trace is None:
        clear_frames(below)
    return error.with_traceback(trace or below)


def _beyond_ours(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return trace
