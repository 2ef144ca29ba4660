"""The options of a bulk run: one frozen value, and the keywords that make it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict, TypeVar

import attrs
from attrs.validators import optional

from mobiz_async.errors import ConfigurationError
from mobiz_async.journal import Journal
from mobiz_async.models import MAX_CHUNK_BYTES, MAX_RECORDS_PER_APPEND, OnInvalid, OnRejected, OnUnknown
from mobiz_async.recipients.dedupe import check_several
from mobiz_async.recipients.stages import Problem
from mobiz_async.reports import Stats
from mobiz_async.settings import above, check_callback, number, whole

__all__ = ["BulkOptions", "BulkSettings"]


_Choice = TypeVar("_Choice", OnUnknown, OnRejected, OnInvalid)


def _chosen(name: str, kind: type[_Choice], value: _Choice | str) -> _Choice:
    try:
        return kind(value)
    except ValueError:
        raise ConfigurationError(f"is one of {', '.join(kind)}", setting=name) from None


def _on_unknown(value: OnUnknown | str) -> OnUnknown:
    return _chosen("on_unknown", OnUnknown, value)


def _on_rejected(value: OnRejected | str) -> OnRejected:
    return _chosen("on_rejected", OnRejected, value)


def _on_invalid(value: OnInvalid | str) -> OnInvalid:
    return _chosen("on_invalid", OnInvalid, value)


def _callback(options: BulkOptions, field: attrs.Attribute[Any], value: object) -> None:
    del options
    check_callback(field.name, value)


def _journal(options: BulkOptions, field: attrs.Attribute[Any], value: object) -> None:
    del options
    for name in vars(Journal):
        if not name.startswith("_") and not callable(getattr(value, name, None)):
            raise ConfigurationError(
                f"is a journal, such as SQLiteJournal(path); this has no method {name!r}", setting=field.name
            )


def _several_numbers(options: BulkOptions, field: attrs.Attribute[Any], value: object) -> None:
    del options, field
    check_several(value)  # None passes; attrs' own "optional" would be a frame in which the numbers show


class BulkSettings(TypedDict, total=False):
    """The keywords of ``MobizClient.send_bulk`` and ``MobizClient.bulk``; ``BulkOptions`` says what each means."""

    chunk_size: int
    max_chunk_bytes: int
    concurrency: int | None
    journal: Journal | None
    on_unknown: OnUnknown | str
    on_rejected: OnRejected | str
    on_invalid: OnInvalid | str
    max_split_requests: int
    number_field: str | None
    common: Mapping[str, Any] | None
    rename: Mapping[str, str] | None
    region: str | None
    mobile_only: bool
    suppress: Iterable[str | int | None] | None
    dedupe: str | None
    max_failure_rate: float | None
    records_per_second: float | None
    deadline: float | None
    progress: Callable[[Stats], None] | None
    on_skipped: Callable[[Problem], None] | None
    failures_kept: int


@attrs.frozen(kw_only=True)
class BulkOptions:
    """How a bulk run is done. Every field is a keyword of ``send_bulk`` and ``bulk``."""

    chunk_size: int = attrs.field(default=MAX_RECORDS_PER_APPEND, validator=whole(1, MAX_RECORDS_PER_APPEND))
    """Records in a request; the vendor's maximum is 10,000."""
    max_chunk_bytes: int = attrs.field(default=MAX_CHUNK_BYTES, validator=whole(64))
    """Bytes in a request. A single record larger than that is invalid."""
    concurrency: int | None = attrs.field(default=None, validator=optional(whole(1)))
    """Chunks in flight; None: the client's. Memory is (concurrency + 1) chunks."""
    journal: Journal | None = attrs.field(default=None, validator=optional(_journal))
    """Where the run is written down, to be resumed: the same call with the same journal goes on. None: in memory."""
    on_unknown: OnUnknown = attrs.field(default=OnUnknown.KEEP, converter=_on_unknown)
    """What to do about a chunk that may or may not have been applied."""
    on_rejected: OnRejected = attrs.field(default=OnRejected.KEEP, converter=_on_rejected)
    """What to do about a chunk that was refused."""
    on_invalid: OnInvalid = attrs.field(default=OnInvalid.RAISE, converter=_on_invalid)
    """What to do about a record that cannot be sent."""
    max_split_requests: int = attrs.field(default=2_000, validator=whole(0))
    """Requests that ``OnRejected.SPLIT`` may spend, over the whole run; what is left unsplit then is rejected."""
    number_field: str | None = None
    """The field that holds the phone number; None: the list's first ``msisdn`` field where known, else "Number"."""
    common: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """Fields of every record; a record's own come before them."""
    rename: Mapping[str, str] | None = None
    """Names that the records use, to names the list uses. A record that comes to have a name twice is invalid."""
    region: str | None = None
    """Bring numbers to the API's form, reading national ones as of this region ("ZA"). None: they go as they are."""
    mobile_only: bool = False
    """A number that is not a mobile one is invalid. Needs ``region``."""
    suppress: Iterable[str | int | None] | None = attrs.field(default=None, repr=False, validator=_several_numbers)
    """Numbers that are not to be texted, as text or whole numbers (None is left out); they are skipped."""
    dedupe: str | None = None
    """A field of the list, such as "Number": of records that agree in it only the first goes. One without it goes."""
    max_failure_rate: float | None = attrs.field(default=None, validator=optional(number(0, 1)))
    """Stop when more than this share of the records tried so far, by earlier runs too, was not accepted. Skipped ones
    were not tried, and do not count."""
    records_per_second: float | None = attrs.field(default=None, validator=optional(above(0)))
    """Send no faster than this, on average over a few chunks."""
    deadline: float | None = attrs.field(default=None, validator=optional(above(0)))
    """Seconds after which nothing new is started. None: an outage is waited out, however long."""
    progress: Callable[[Stats], None] | None = attrs.field(default=None, validator=optional(_callback))
    """Called with the live counts after each chunk."""
    on_skipped: Callable[[Problem], None] | None = attrs.field(default=None, validator=optional(_callback))
    """Called with each record that is skipped; the only place where its content is handed out."""
    failures_kept: int = attrs.field(default=100, validator=whole(1))
    """How many of the first, and of the last, failed chunks the report holds."""

    def identity(self, list_id: str, checks: Mapping[str, str]) -> dict[str, str]:
        """Return what a journal must agree on before a run goes on from it; ``checks``: the intake's fingerprints."""
        return {
            "list id": list_id,
            "chunk size": str(self.chunk_size),
            "max chunk bytes": str(self.max_chunk_bytes),
            **checks,
        }
