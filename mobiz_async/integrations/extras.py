"""What is said when an optional dependency is not there."""

from __future__ import annotations

from mobiz_async.errors import ConfigurationError

__all__ = ["missing"]


def missing(extra: str) -> ConfigurationError:
    """Return the error that names the line to type."""
    return ConfigurationError(f"this needs an extra: pip install 'mobiz-async[{extra}]'")
