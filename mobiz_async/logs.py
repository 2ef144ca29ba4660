"""The standard ``logging``: what ``MOBIZ_LOG`` switches on, without a line of code.

All of mobiz_async logs under the logger ``mobiz_async``. What it says about an attempt is also in the ``mobiz``
attribute of the log record, a dict, for handlers that write structured logs. No key, number or message is in either.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Mapping

from mobiz_async.errors import ConfigurationError
from mobiz_async.models import Outcome
from mobiz_async.reports import AttemptEvent

__all__ = ["LineFormatter", "from_environment", "level_of", "log", "say"]

log = logging.getLogger("mobiz_async")
"""The logger of all that is said here."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}
_NAME = "mobiz_async (MOBIZ_LOG)"


class LineFormatter(logging.Formatter):
    """One short line for each record: time, level, message, and the fields of an attempt as ``name=value``."""

    def __init__(self) -> None:
        """Take the format of this module."""
        super().__init__("%(asctime)s.%(msecs)03d %(levelname).1s mobiz %(message)s%(fields)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = getattr(record, "mobiz", None) or {}
        shown = {name: value for name, value in fields.items() if name not in ("operation", "verdict")}
        record.fields = "".join(f" {name}={_short(value)}" for name, value in shown.items() if value is not None)
        return super().format(record)


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def level_of(event: AttemptEvent) -> int:
    """Return the level at which an attempt is worth a line: a warning where somebody should look."""
    match event.outcome:
        case Outcome.ACCEPTED:
            return logging.DEBUG
        case Outcome.NOT_SENT:
            return logging.INFO
        case Outcome.REJECTED | Outcome.UNKNOWN:
            return logging.INFO if event.retry_in is not None else logging.WARNING


def say(level: int, message: str, *values: object, extra: Mapping[str, object] | None = None) -> None:
    """Log a line. What a handler or a filter of the program's raises is dropped: it must not change what it is told of.

    ``logging`` itself catches only what the handlers of its own raise as they write.
    """
    with contextlib.suppress(Exception):
        log.log(level, message, *values, extra=extra, stacklevel=2)


def from_environment(environment: Mapping[str, str] = os.environ) -> None:
    """Attach a handler for standard error to the logger ``mobiz_async`` when ``MOBIZ_LOG`` is ``debug`` or ``info``.

    ``debug`` shows every attempt, ``info`` those that were not accepted. It does so once, whoever calls it how often;
    the handlers that a program sets up itself are left alone, and get the same records through the root logger. Loggers
    that ``logging.config`` has disabled, as it does by default with those that were there before, are enabled again.
    Raises ``ConfigurationError`` for any other value.
    """
    asked = environment.get("MOBIZ_LOG")
    if not asked:
        return
    level = _LEVELS.get(asked.strip().lower())
    if level is None:
        raise ConfigurationError("MOBIZ_LOG is debug or info")
    for name, known in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(known, logging.Logger) and f"{name}.".startswith("mobiz_async."):
            known.disabled = False
    if any(handler.name == _NAME for handler in log.handlers):
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.name = _NAME
    handler.setFormatter(LineFormatter())
    log.addHandler(handler)
    log.setLevel(level)
