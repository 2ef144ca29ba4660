"""The client of a command: its keys come from the environment."""

from __future__ import annotations

import os
from typing import Any

from mobiz_async.client import MobizClient
from mobiz_async.errors import ConfigurationError

__all__ = ["MissingKeyError", "client_from_environment"]

_KEYS = ("MOBIZ_API_KEY", "MOBIZ_SUBSCRIPTION_KEY")


class MissingKeyError(ConfigurationError):
    """A key is not in the environment."""

    def __init__(self, variables: list[str]) -> None:
        """Name the environment variables that are missing."""
        super().__init__(f"set {' and '.join(variables)} in the environment; keys are never arguments")


def client_from_environment(**settings: Any) -> MobizClient:
    """Return a client for the account in the environment; raise ``MissingKeyError``, or ``ConfigurationError``."""
    missing = [variable for variable in _KEYS if not os.environ.get(variable)]
    if missing:
        raise MissingKeyError(missing)
    return MobizClient(**settings)
