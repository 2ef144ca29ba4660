"""Signals while something is sent: the first finishes what is in flight, or breaks off what has no end of its own.

In a run the end of the grace breaks it off as well. A second signal leaves at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import FrameType, TracebackType
from typing import Any, Self

from mobiz_async.bulk import BulkRun
from mobiz_async.cli.exits import HANGUP, Exit, exit_of_signal
from mobiz_async.models import Outcome
from mobiz_async.reports import AttemptEvent

__all__ = ["Interrupted", "Interruption", "interruptible", "obeying_signals"]

_SIGNALS = tuple(number for number in (signal.SIGINT, signal.SIGTERM, HANGUP) if number is not None)
_NOTHING_SENT = "interrupted before anything was sent"
_WHO_KNOWS = "interrupted; what was on its way may have been sent"

Handler = Callable[[int, FrameType | None], Any] | int | None


class Interrupted(Exception):  # noqa: N818  # no error
    """A signal ended the command before it had anything to report. The text says what is known."""

    def __init__(self, words: str, code: Exit) -> None:
        """``code`` is what the command ends with."""
        super().__init__(words)
        self.exit = code


class Interruption:
    """Handles SIGINT, SIGTERM and SIGHUP within its block, in the task and the loop that enter it.

    Before ``guard`` was given a run the first signal cancels the task: nothing is under way that would have to be
    finished. Afterwards it stops the run, and cancels the task only when ``grace`` seconds have passed. A second signal
    calls ``leave`` with the exit code; a journal holds every intent by then, and loses nothing. SIGHUP is never the
    second: the system and the shell send one each when a terminal is closed. One that is ignored stays so, by nohup or
    by a shell for what it starts in the background.
    """

    def __init__(self, grace: float, say: Callable[[str], None], leave: Callable[[int], object] = os._exit) -> None:
        """Take what to do; nothing is handled before the block."""
        self._grace = grace
        self._say = say
        self._leave = leave
        self._run: BulkRun | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._before: dict[int, Handler] = {}
        self._over = False
        self.exit: Exit | None = None
        """The code of the first signal, None while there has been none."""
        self.before_leaving: Callable[[], None] = lambda: None
        """Called ahead of leaving at once: puts the terminal in order."""
        self.doubt = "what was on its way may have been sent"
        """What to say where a request may have gone out that was broken off."""
        self.made: str | None = None
        """What was done before, if anything: somebody has to know of it."""
        self._outcome: Outcome | None = None
        self.code: int | None = None
        """What the command ends with, once all is done and told."""

    @property
    def words(self) -> str:
        """What is known where the task was cancelled."""
        known = f"interrupted; {self.doubt}" if self._outcome is Outcome.UNKNOWN else _NOTHING_SENT
        return known if self.made is None else f"{known}; {self.made}"

    def hear(self, event: AttemptEvent) -> None:
        """Take note of an attempt; a client's hook. One that is broken off is told as well, with what it proves."""
        self._outcome = event.outcome

    def __enter__(self) -> Self:
        """Take the signals over. Where that is impossible (Windows, another thread) they do what they always do."""
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                before = signal.getsignal(number)
                if before is signal.SIG_IGN:
                    continue
                loop.add_signal_handler(number, self._signalled, number)
                self._before[number] = before
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back. Where all is done and told, one that still comes leaves at once, as if it had not."""
        self.over()
        loop = asyncio.get_running_loop()
        for number, before in self._before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, before if self.code is None else self._leave_as_ended)

    def guard(self, run: BulkRun) -> None:
        """From now on there is something to finish."""
        self._run = run

    def over(self) -> None:
        """There is nothing left to finish or to break off; a first signal is only remembered from now on."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def absorb(self) -> bool:
        """Return whether a ``CancelledError`` that was caught was ours; if so, the task is as if it had not been."""
        if self.exit is None or self._task is None or not self._task.cancelling():
            return False
        self._task.uncancel()
        return True

    def _signalled(self, number: int) -> None:
        if self.exit is not None:
            if number != HANGUP:
                self.before_leaving()
                self._say("leaving at once: what is in flight counts as unknown")
                self._leave(int(self.exit))
            return
        self.exit = exit_of_signal(number)
        if self._over:
            return
        if self._run is None:
            self._cancel()
            return
        self._run.stop()
        flying = self._run.stats.in_flight
        self._say(
            f"stopping: nothing new is started, {flying} in flight may finish within {self._grace:g} s "
            "(once more: leave at once)"
        )
        self._timer = asyncio.get_running_loop().call_later(self._grace, self._cancel)

    def _leave_as_ended(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        with contextlib.suppress(RuntimeError):  # in the middle of being flushed
            sys.stdout.flush()
            sys.stderr.flush()
        self._leave(int(self.code or 0))

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


async def interruptible(
    grace: float, say: Callable[[str], None], work: Callable[[Interruption], Coroutine[Any, Any, int]]
) -> int:
    """Do ``work``, which returns an exit code, under an ``Interruption``; raise ``Interrupted`` if that cancels it."""
    with Interruption(grace, say) as interruption:
        try:
            interruption.code = code = await work(interruption)
        except asyncio.CancelledError:
            if interruption.exit is None or not interruption.absorb():
                raise
            raise Interrupted(interruption.words, interruption.exit) from None
        return code


class _Unawaited(ThreadPoolExecutor):
    """Threads that nobody waits for at the end: a look-up of a name cannot be broken off, and may take a minute."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        del wait
        super().shutdown(wait=False, cancel_futures=cancel_futures)


def obeying_signals(
    grace: float, say: Callable[[str], None], work: Callable[[Interruption], Coroutine[Any, Any, int]]
) -> int:
    """Do ``work`` under an ``Interruption`` in a loop of its own.

    Raises ``Interrupted``, also where signals cannot be handled and Ctrl-C does what it always does.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        with asyncio.Runner() as runner:
            runner.get_loop().set_default_executor(_Unawaited())
            return runner.run(interruptible(grace, say, work))
    except KeyboardInterrupt:
        raise Interrupted(_WHO_KNOWS, Exit.INTERRUPTED) from None
    finally:
        with contextlib.suppress(ValueError, TypeError):  # in another thread, or a handler that is not Python's
            for number, handler in before.items():
                signal.signal(number, handler)
