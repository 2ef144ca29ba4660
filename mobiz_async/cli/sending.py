"""What `mobiz send` does, apart from its command line: list, records, run, report, and how to go on."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from mobiz_async.bulk import BulkRun
from mobiz_async.cli.account import client_from_environment
from mobiz_async.cli.exits import exit_of_report
from mobiz_async.cli.interruption import Interruption
from mobiz_async.cli.piped import Piped, standard_input
from mobiz_async.cli.progress import Progress
from mobiz_async.cli.reporting import report_table, report_value
from mobiz_async.cli.screen import Screen, plural
from mobiz_async.client import MobizClient
from mobiz_async.errors import ConfigurationError, MobizError
from mobiz_async.journal import SQLiteJournal
from mobiz_async.models import BulkReport, ChunkOutcome, DataList, Outcome
from mobiz_async.options import BulkSettings
from mobiz_async.recipients.sources import Recipients, open_recipients

__all__ = ["Order", "Source", "conduct", "open_source", "send_order"]

_PHONE_DIGITS = 7


@attrs.frozen(kw_only=True)
class Order:
    """What `mobiz send` was asked for."""

    source: str
    argv: Sequence[str]
    list_id: str | None = None
    new_list: str | None = None
    definition: Mapping[str, str] | None = None
    number_field: str | None = None
    file_options: Mapping[str, Any] = attrs.field(factory=dict)
    settings: BulkSettings = attrs.field(factory=BulkSettings)
    journal: Path | None = None
    rejects: Path | None = None
    grace: float = 30.0

    @property
    def title(self) -> str:
        """What to call the source."""
        return "standard input" if self.source == "-" else Path(self.source).name

    @property
    def number(self) -> str:
        """The field that holds the phone number."""
        of_list = DataList("-", definition=self.definition).number_field if self.definition else None
        return self.number_field or of_list or "Number"


@attrs.frozen
class Source:
    """Recipients to be sent, and what is known of them."""

    title: str
    records: Iterable[Any] | AsyncIterator[Any]
    recipients: Recipients


@asynccontextmanager
async def open_source(order: Order) -> AsyncIterator[Source]:
    """Open the recipients of ``order``; standard input in a thread of its own."""

    def opened() -> Recipients:
        source = standard_input() if order.source == "-" else order.source
        return open_recipients(source, phone_fields=(order.number,), **order.file_options)

    if order.source != "-":
        with opened() as recipients:
            yield Source(order.title, recipients, recipients)
        return
    piped = Piped(opened)
    try:
        recipients = await piped.recipients()
        yield Source(order.title, piped.records(recipients), recipients)
    finally:
        piped.close()


async def conduct(
    mobiz: MobizClient,
    contacts: DataList,
    source: Source,
    settings: BulkSettings,
    screen: Screen,
    interruption: Interruption,
    rejected: Callable[[ChunkOutcome], None] | None = None,
) -> tuple[BulkReport, MobizError | None]:
    """Do a bulk run with everything there is to see of it; return the report, and the error that ended it.

    ``rejected`` is given each chunk that was not accepted, with its records. Raises the errors that come before there
    is a report.
    """
    run: BulkRun | None = None
    error: MobizError | None = None
    try:
        async with mobiz.bulk(contacts, source.records, **settings) as run:
            interruption.guard(run)
            shown = Progress(
                screen, source.title, run, total=source.recipients.length, read_fraction=source.recipients.fraction
            )
            interruption.before_leaving = shown.hide
            async with shown:
                await _follow(run, rejected)
    except asyncio.CancelledError:
        if not interruption.absorb():
            raise
    except MobizError as raised:
        error = raised
    interruption.over()
    if run is None or run.report is None:
        raise error or AssertionError("a run without a report")
    return run.report, error or run.report.error


async def _follow(run: BulkRun, rejected: Callable[[ChunkOutcome], None] | None) -> None:
    if rejected is None:
        await run.finish()
        return
    async for chunk in run:
        if chunk.outcome is not Outcome.ACCEPTED:
            rejected(chunk)


async def send_order(order: Order, screen: Screen) -> int:
    """Send what was ordered, tell how it ended, and return the exit code."""
    with Interruption(order.grace, screen.tell) as interruption:
        try:
            return await _send(order, screen, interruption)
        except asyncio.CancelledError:
            if interruption.exit is None or not interruption.absorb():
                raise
            screen.tell("interrupted before anything was sent")
            return interruption.exit


async def _send(order: Order, screen: Screen, interruption: Interruption) -> int:
    settings = BulkSettings(**order.settings)
    if order.journal is not None:
        settings["journal"] = SQLiteJournal(order.journal)
    settings["number_field"] = order.number
    async with client_from_environment() as mobiz, open_source(order) as source:
        check_number_field(order, source.recipients)
        contacts = await _list_of(order, mobiz, source.recipients, screen)
        screen.remark(f"sending {source.title} to list {contacts.id}")
        report, error = await conduct(mobiz, contacts, source, settings, screen, interruption)
    code = exit_of_report(report, error, interruption.exit)
    screen.show("", report_table(report, f"{order.title} to list {contacts.id}"))
    screen.write_json(
        {
            "source": order.title,
            "list_id": contacts.id,
            "list_name": contacts.name,
            "journal": None if order.journal is None else str(order.journal),
            "rejects": None if order.rejects is None else str(order.rejects),
            **report_value(report),
            "error": None if error is None else str(error),
            "exit_code": int(code),
        }
    )
    if error is not None:
        screen.tell(f"error: {error}")
    for hint in _how_to_go_on(order, report):
        screen.tell(hint)
    return code


def check_number_field(order: Order, recipients: Recipients) -> None:
    """Raise ``ConfigurationError`` where no record can have a phone number."""
    fields = recipients.fields
    if not fields or order.number in fields or order.number in (order.settings.get("common") or {}):
        return
    if any(sum(map(str.isdigit, field)) >= _PHONE_DIGITS for field in fields):
        raise ConfigurationError(
            "the first row of the file looks like a record, not like a header: name its columns (--header a,b,c)"
        )
    raise ConfigurationError(
        f"no column gives the field {order.number!r}; there are: {', '.join(fields)} "
        f"(--map {order.number}=COLUMN says which it is, --number-field what the list calls it)"
    )


async def _list_of(order: Order, mobiz: MobizClient, recipients: Recipients, screen: Screen) -> DataList:
    if order.list_id is not None:
        return DataList(order.list_id, definition=order.definition)
    definition = order.definition or _definition_of(order, recipients)
    name = order.new_list or ""
    known = await _list_in_journal(order.journal)
    if known is not None:
        screen.remark(f"going on with list {known}, which the journal's first run created")
        return DataList(known, name, definition)
    contacts = await mobiz.create_list(name, definition)
    formats = ", ".join(f"{field} {form}" for field, form in definition.items())
    screen.remark(f"created list {contacts.id} ({name}): {formats}")
    return contacts


def _definition_of(order: Order, recipients: Recipients) -> dict[str, str]:
    """The number is a number, and all else is text: any value fits, and the server may be told better by --field."""
    if recipients.fields is None:
        raise ConfigurationError("JSON Lines have no header: say which fields the new list has (--field Number=msisdn)")
    fields = dict.fromkeys((order.number, *recipients.fields, *(order.settings.get("common") or {})))
    return {field: "msisdn" if field == order.number else "text" for field in fields}


async def _list_in_journal(path: Path | None) -> str | None:
    if path is None or not await asyncio.to_thread(path.exists):
        return None
    journal = SQLiteJournal(path)
    await journal.open(None)
    try:
        return (await journal.identity()).get("list id")
    finally:
        await journal.close()


def _how_to_go_on(order: Order, report: BulkReport) -> list[str]:
    hints: list[str] = []
    if report.unknown:
        hints.append(
            f"{plural(report.unknown, 'record')} may or may not have been sent: ask the vendor before sending again."
        )
        if order.journal is not None:
            hints.append(f"Which ones:  mobiz journal export {shlex.quote(str(order.journal))} --state unknown")
    if order.journal is not None and (report.not_sent or report.stopped is not None):
        hints.append("Nothing goes out twice. To go on, the same command again:")
        hints.append(f"  {shlex.join(order.argv)}")
    elif report.stopped is not None:
        hints.append(f"The first {plural(report.read, 'record')} of the source had been read by then.")
    return hints
