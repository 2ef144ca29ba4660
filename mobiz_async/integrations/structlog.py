"""structlog: one entry for each attempt."""

from __future__ import annotations

from typing import Any

import attrs

from mobiz_async.integrations.extras import missing
from mobiz_async.logs import level_of
from mobiz_async.reports import AttemptEvent

__all__ = ["StructlogHook"]


class StructlogHook:
    """An event hook that logs ``mobiz_attempt`` with the fields of the ``AttemptEvent``.

    ``logger`` is a structlog logger (None: ``structlog.get_logger("mobiz_async")``). Accepted attempts are logged at
    debug level; those that are repeated, or provably were not sent, at info; rejected and unknown ones at warning.
    Raises ``ConfigurationError`` when there is no logger and structlog is not installed.
    """

    def __init__(self, logger: Any = None) -> None:
        """Log through ``logger``."""
        if logger is None:
            try:
                import structlog  # noqa: PLC0415  an extra
            except ImportError:
                raise missing("StructlogHook", "structlog") from None
            logger = structlog.get_logger("mobiz_async")
        self._logger = logger

    def __call__(self, event: AttemptEvent) -> None:
        """Log one attempt."""
        self._logger.log(level_of(event), "mobiz_attempt", **attrs.asdict(event))
