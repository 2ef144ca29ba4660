"""What `mobiz send` was asked for, and the recipients that it names."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from mobiz_async.cli.piped import Piped, standard_input
from mobiz_async.errors import ConfigurationError
from mobiz_async.legible import legible
from mobiz_async.models import number_field_of
from mobiz_async.options import BulkSettings
from mobiz_async.recipients.columns import named
from mobiz_async.recipients.sources import Recipients, open_recipients

__all__ = ["Order", "Source", "open_source"]

_PHONE_DIGITS = 7


@attrs.frozen(kw_only=True)
class Order:
    """What `mobiz send` was asked for. ``argv`` is the command line itself, to be told how to go on."""

    source: str
    argv: Sequence[str] = ()
    list_id: str | None = None
    new_list: str | None = None
    fields: Mapping[str, str] = attrs.field(factory=dict)
    """The definition of the list, as far as the command line has it."""
    number_field: str | None = None
    message_field: str = "Message"
    file_options: Mapping[str, Any] = attrs.field(factory=dict)
    settings: BulkSettings = attrs.field(factory=BulkSettings)
    dedupe: bool = False
    suppress: Path | None = None
    """The file of numbers that are not to be texted, which the settings hold."""
    journal: Path | None = None
    rejects: Path | None = None
    grace: float = 30.0

    @property
    def title(self) -> str:
        """What to call the source."""
        return "standard input" if self.source == "-" else legible(Path(self.source).name)

    @property
    def read(self) -> Sequence[Path]:
        """The files that are read."""
        return [Path(name) for name in (self.source, self.suppress) if name not in ("-", None)]

    @property
    def number(self) -> str:
        """The field that holds the phone number."""
        return self.number_field or number_field_of(self.fields) or "Number"

    @property
    def common(self) -> Mapping[str, Any]:
        """The fields that all records have."""
        return self.settings.get("common") or {}

    def open(self) -> Recipients:
        """Open the recipients; it may take as long as a pipe takes to say something.

        Raises ``SourceFileError``, and ``ConfigurationError`` where no record can have a phone number.
        """
        source = standard_input() if self.source == "-" else self.source
        recipients = open_recipients(source, phone_fields=(self.number,), **self.file_options)
        try:
            self._check_number_field(recipients.fields or ())
        except ConfigurationError:
            recipients.close()
            raise
        return recipients

    def _check_number_field(self, columns: Sequence[str]) -> None:
        if not columns or self.number in columns or self.number in self.common:
            return
        if any(sum(map(str.isdigit, column)) >= _PHONE_DIGITS for column in columns):
            raise ConfigurationError(
                "the first row looks like a recipient, not like a header: name the columns (--header Number,Name)"
            )
        raise ConfigurationError(
            f"no column gives the field {self.number!r}; there are: {named(columns)}. Which is it? "
            f"--map {self.number}=COLUMN, or --number-field where the list calls it otherwise"
        )

    def definition(self, recipients: Recipients) -> Mapping[str, str] | None:
        """Return what the records are checked against; None for a list of which nothing is known.

        A new list has the file's columns. The number is a number, and all else text, which takes any value. Raises
        ``ConfigurationError`` where the columns are not known either.
        """
        if self.fields or self.new_list is None:
            return self.fields or None
        if recipients.fields is None:
            raise ConfigurationError("JSON Lines have no header: name the new list's fields (--field Number=msisdn)")
        names = dict.fromkeys((self.number, *recipients.fields, *self.common))
        return {name: "msisdn" if name == self.number else "text" for name in names}


@attrs.frozen
class Source:
    """Recipients to be sent: the records, and what is known of the file they come from."""

    title: str
    records: Iterable[Any] | AsyncIterator[Any]
    recipients: Recipients


def _is_pipe(name: str) -> bool:
    try:
        return stat.S_ISFIFO(Path(name).stat().st_mode)  # such as the shell's <(...)
    except OSError:  # told by whoever opens it
        return False


@asynccontextmanager
async def open_source(order: Order) -> AsyncIterator[Source]:
    """Open the recipients of ``order``; a pipe, which may say nothing for long, in a thread of its own."""
    if order.source != "-" and not await asyncio.to_thread(_is_pipe, order.source):
        with order.open() as recipients:
            yield Source(order.title, recipients, recipients)
        return
    piped = Piped(order.open)
    try:
        recipients = await piped.recipients()
        yield Source(order.title, piped.records(recipients), recipients)
    finally:
        piped.close()
