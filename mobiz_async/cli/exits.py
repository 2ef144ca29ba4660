"""What the exit codes mean, and which one a run, an error or a signal ends with."""

from __future__ import annotations

import enum
import signal

from mobiz_async.cli.account import MissingKeyError
from mobiz_async.errors import (
    AuthenticationError,
    ConfigurationError,
    EngagementNotFoundError,
    InvalidRecordError,
    JournalError,
    MobizError,
    OutcomeUnknownError,
    RequestError,
    SourceChangedError,
    SourceError,
)
from mobiz_async.models import StopReason
from mobiz_async.recipients.files import SourceFileError
from mobiz_async.recipients.stages import SKIPS
from mobiz_async.reports import BulkReport

__all__ = ["HANGUP", "MEANING", "OF_SIGNALS", "Exit", "exit_of_error", "exit_of_report", "exit_of_signal", "table"]


class Exit(enum.IntEnum):
    """How the command ends."""

    OK = 0
    INCOMPLETE = 1
    USAGE = 2
    CREDENTIALS = 3
    UNKNOWN = 4
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


MEANING: dict[Exit, str] = {
    Exit.OK: "everything was accepted (duplicates and suppressed numbers aside)",
    Exit.INCOMPLETE: "something was rejected, invalid or not sent, or the work failed",
    Exit.USAGE: "it cannot be done as asked: usage, settings, file, record, journal",
    Exit.CREDENTIALS: "a key is missing, or a key or trigger key was refused",
    Exit.UNKNOWN: "some may or may not have been sent: ask the vendor before sending again",
    Exit.HUNG_UP: "hung up (SIGHUP: the terminal was closed)",
    Exit.INTERRUPTED: "interrupted (Ctrl-C)",
    Exit.TERMINATED: "terminated (SIGTERM)",
}
"""The one table of exit codes. Where several apply: interrupted, credentials, unknown, usage, incomplete."""

OF_SIGNALS = (Exit.TERMINATED, Exit.INTERRUPTED, Exit.HUNG_UP)
_PRECEDENCE = (*OF_SIGNALS, Exit.CREDENTIALS, Exit.UNKNOWN, Exit.USAGE, Exit.INCOMPLETE, Exit.OK)

HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""The signal of a terminal that was closed, or whose connection was lost. Windows has none."""

_BAD_INPUT = (ConfigurationError, InvalidRecordError, SourceError, SourceFileError, SourceChangedError)
_INTERRUPTIONS = frozenset({StopReason.ASKED, StopReason.CANCELLED})


def exit_of_signal(number: int) -> Exit:
    """Return the code that says which signal ended the command: 128 and its number, as shells have it."""
    return Exit(128 + number)


def exit_of_report(report: BulkReport, error: MobizError | None = None, interrupted: Exit | None = None) -> Exit:
    """Return how a run ended; ``interrupted`` is the code of a signal that came while it went on."""
    applying = {Exit.OK}
    if interrupted is not None and report.stopped in _INTERRUPTIONS:
        applying.add(interrupted)
    if report.stopped is StopReason.CREDENTIALS:
        applying.add(Exit.CREDENTIALS)
    if report.unknown:
        applying.add(Exit.UNKNOWN)
    if isinstance(error, _BAD_INPUT):
        applying.add(Exit.USAGE)
    wished = sum(report.skipped_by_reason.get(reason.value, 0) for reason in SKIPS)
    if report.stopped is not None or report.accepted + wished < report.read:
        applying.add(Exit.INCOMPLETE)
    return next(code for code in _PRECEDENCE if code in applying)


def exit_of_error(error: MobizError) -> Exit:
    """Return the code of an error that ended a command other than a bulk run."""
    match error:
        case AuthenticationError() | EngagementNotFoundError() | MissingKeyError():
            return Exit.CREDENTIALS
        case OutcomeUnknownError():
            return Exit.UNKNOWN
        case RequestError():
            return Exit.INCOMPLETE
        case JournalError():
            return Exit.USAGE
        case _ if isinstance(error, _BAD_INPUT):
            return Exit.USAGE
        case _:
            return Exit.INCOMPLETE


def table() -> str:
    """Return the codes and their meaning, a line each."""
    return "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in MEANING.items())
