"""Keeping records and keys out of tracebacks that show local variables.

An exception carries every frame that it passes, and error trackers print the locals of each frame. So a value that must
not show travels hidden (``hide``), and an exception loses our frames before a caller gets it (``unseen``,
``without_ours``, ``theirs``).
"""

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
"""One value that no frame may show. ``next`` takes it out, once.

It is an iterator, of which an error tracker prints the type alone; after ``next`` it does not hold the value any more.
"""


def hide(value: T) -> Hidden[T]:
    """Return ``value``, hidden.

    The caller then deletes its own name for it, and takes it out in an expression, not into another local variable.
    """
    return iter((value,))


def unseen(call: Hidden[Callable[[], T]]) -> T:
    """Return what the hidden call returns; what it raises is raised without our frames, which hold its arguments.

    It is for calls that check what they are given: their message says all that the caller needs to know.
    """
    try:
        return next(call)()
    except Exception as error:  # noqa: BLE001  a caller's iterable may raise anything
        raised = without_ours(error)
    raise raised


def without_ours(error: E) -> E:
    """Return ``error`` without our frames at the outer end of its traceback, up to the first that is not ours.

    It clears the locals of no frame, as ``theirs`` may. That matters where several tasks are given the same exception:
    among its frames are those of coroutines that still run, and clearing such a frame would end its coroutine.
    """
    return _alone(error).with_traceback(_beyond_ours(error.__traceback__))


def theirs(error: E) -> E:
    """Return an exception that the caller has just caught, without our frames.

    It is for exceptions of other people's code (a source, a record, a transport): the frames in which they were raised
    stay, so that the mistake can be found. Where all frames are ours, they stay too, but with their locals cleared.
    """
    caught = error.__traceback__
    below = caught.tb_next if caught is not None else None  # the caller's own frame cannot be emptied: it still runs
    trace = _beyond_ours(below)
    if trace is None:
        clear_frames(below)
    return _alone(error).with_traceback(trace or below)


def _alone(error: E) -> E:
    """Return ``error`` without the exception that it hides: "from None" keeps that one, with all its frames."""
    if error.__suppress_context__:
        error.__context__ = None
    return error


def _beyond_ours(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return trace
