"""The client of a command: its keys come from the environment."""

from __future__ import annotations

import os
from typing import Any

from mobiz_async.cli.arguments import is_text
from mobiz_async.client import MobizClient
from mobiz_async.errors import ConfigurationError

__all__ = ["MissingKeyError", "client_from_environment"]

_KEYS = ("MOBIZ_API_KEY", "MOBIZ_SUBSCRIPTION_KEY")
_TEXTS = (*_KEYS, "MOBIZ_USERNAME", "MOBIZ_BASE_URL")


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
    for variable in _TEXTS:
        if not is_text(os.environ.get(variable, "")):
            raise ConfigurationError(f"{variable} is not text in the encoding of this system")
    return MobizClient(trust_env=True, **settings)
