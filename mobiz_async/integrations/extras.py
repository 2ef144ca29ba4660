"""What is said when an optional dependency is not there."""

from __future__ import annotations

from mobiz_async.errors import ConfigurationError

__all__ = ["missing"]


def missing(wanted: str, extra: str) -> ConfigurationError:
    """Return the error that says what ``wanted`` needs: the line to type."""
    return ConfigurationError(f"{wanted} needs: pip install 'mobiz-async[{extra}]'")
