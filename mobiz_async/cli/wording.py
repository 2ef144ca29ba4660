"""What an error says, in the words of the command line: the library names its own keywords."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType

from yarl import URL

from mobiz_async.addresses import proxy_of_environment
from mobiz_async.client import DEFAULT_BASE_URL
from mobiz_async.errors import ConfigurationError, ConnectError, MobizError, SourceError
from mobiz_async.recipients.files import SourceFileError

__all__ = ["OPTIONS", "words_of"]

OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "chunk_size": "--chunk-size",
        "column": "--suppress-column",
        "common": "--common",
        "concurrency": "--concurrency",
        "deadline": "--deadline",
        "dedupe": "--dedupe",
        "delimiter": "--delimiter",
        "encoding": "--encoding",
        "format": "--format",
        "header": "--header",
        "mapping": "--map",
        "max_failure_rate": "--max-failure-rate",
        "message_field": "--message-field",
        "mobile_only": "--mobile-only",
        "number_field": "--number-field",
        "on_invalid": "--on-invalid",
        "on_rejected": "--on-rejected",
        "on_unknown": "--on-unknown",
        "price_per_segment": "--price-per-segment",
        "records_per_second": "--records-per-second",
        "region": "--region",
        "send_time": "--at",
        "send_time_format": "--send-time-format",
        "sheet": "--sheet",
        "suppress": "--suppress",
    }
)
"""Keyword of the library -> the option that sets it. What comes from the environment has its variable in the error."""


def words_of(error: MobizError) -> str:
    """Return what to say of ``error``.

    Of a source that failed, what its own kind of error says as well; where no connection could be made, where to, if it
    is not to the vendor: the sandbox that was there may be gone. And by way of which proxy.
    """
    if isinstance(error, SourceError) and isinstance(error.__cause__, SourceFileError):
        return str(error.__cause__)  # which names the record too
    if isinstance(error, SourceError) and isinstance(error.__cause__, MobizError):
        return f"{error}: {error.__cause__}"
    if isinstance(error, ConfigurationError) and error.setting is not None:
        return f"{error.variable or OPTIONS.get(error.setting, error.setting)} {error.what}"
    if isinstance(error, ConnectError):
        return "; ".join([str(error), *_whereabouts()])
    return str(error)


def _whereabouts() -> list[str]:
    """Return where a connection was to go, as far as that is not what it is for everybody."""
    address = os.environ.get("MOBIZ_BASE_URL")
    url = URL(address or DEFAULT_BASE_URL)
    said = [f"MOBIZ_BASE_URL is {address}"] if address else []
    if proxy_of_environment(url) is not None:
        said.append(f"it is by the proxy of {url.scheme.upper()}_PROXY")
    return said
