"""What `mobiz send` does: the list, the run with all there is to see of it, the report, and how to go on."""

from __future__ import annotations

import asyncio
import os
import shlex
from pathlib import Path

from mobiz_async.bulk import BulkRun
from mobiz_async.cli.account import client_from_environment
from mobiz_async.cli.exits import exit_of_report
from mobiz_async.cli.interruption import Interruption, interruptible
from mobiz_async.cli.orders import Order, Source, open_source
from mobiz_async.cli.progress import Progress, Trouble
from mobiz_async.cli.rejecting import Rejects
from mobiz_async.cli.reporting import report_table, report_value
from mobiz_async.cli.screen import Screen, plural
from mobiz_async.client import MobizClient
from mobiz_async.errors import ConfigurationError, InvalidRecordError, MobizError, SourceChangedError, SourceError
from mobiz_async.journal import SQLiteJournal
from mobiz_async.models import DataList, Outcome
from mobiz_async.options import BulkOptions, BulkSettings
from mobiz_async.recipients.sources import Recipients
from mobiz_async.reports import BulkReport

__all__ = ["conduct", "send_order"]


async def conduct(
    mobiz: MobizClient,
    contacts: DataList,
    source: Source,
    settings: BulkSettings,
    screen: Screen,
    interruption: Interruption,
    trouble: Trouble,
    rejects: Rejects | None = None,
) -> tuple[BulkReport, MobizError | None]:
    """Do a bulk run, show how far it is, obey signals; return the report, and the error that ended it.

    ``trouble`` is among the client's event hooks. ``rejects`` gets what is not accepted. Raises what goes wrong before
    the run begins, when no rejects have been touched.
    """
    run: BulkRun | None = None
    error: MobizError | None = None
    try:
        async with mobiz.bulk(contacts, source.records, **settings) as run:
            interruption.guard(run)
            known = source.recipients
            if rejects is not None:
                rejects.begin(known.fields, run.stop)
            shown = Progress(
                screen, source.title, run, total=known.length, read_fraction=known.fraction, trouble=trouble
            )
            interruption.before_leaving = shown.hide
            async with shown:
                await _follow(run, rejects)
    except asyncio.CancelledError:
        if not interruption.absorb():
            raise
    except MobizError as raised:
        error = raised
    interruption.over()
    if run is None or run.report is None:
        raise error or asyncio.CancelledError
    return run.report, error or run.report.error


async def _follow(run: BulkRun, rejects: Rejects | None) -> None:
    if rejects is None:
        await run.finish()
        return
    async for chunk in run:
        if chunk.outcome is not Outcome.ACCEPTED:
            rejects.write_chunk(chunk)


async def send_order(order: Order, screen: Screen) -> int:
    """Send what was ordered, tell how it ended, and return the exit code."""
    return await interruptible(order.grace, screen.tell, lambda interruption: _send(order, screen, interruption))


async def _send(order: Order, screen: Screen, interruption: Interruption) -> int:
    trouble = Trouble()
    async with client_from_environment(events=[trouble]) as mobiz, open_source(order) as source:
        resuming = order.journal is not None and await asyncio.to_thread(_begun, order.journal)
        rejects = await asyncio.to_thread(_rejects_of, order, going_on=resuming)
        settings = _settings_of(order, rejects)
        BulkOptions.of(settings)  # what cannot be done as asked is told before a list is created for it
        contacts = await _list_of(order, mobiz, source.recipients, screen, resuming=resuming)
        screen.remark(f"sending {source.title} to list {contacts.id}")
        try:
            report, error = await conduct(mobiz, contacts, source, settings, screen, interruption, trouble, rejects)
        finally:
            if rejects is not None:
                rejects.end()
    rejected = 0 if rejects is None else rejects.count
    complaint = _words(error) if error is not None else rejects.complaint if rejects is not None else None
    code = exit_of_report(report, error, interruption.exit)
    why = "the rejects cannot be written" if complaint is not None and error is None else None
    screen.show("", report_table(report, f"{order.title} to list {contacts.id}", error, why))
    screen.write_json(
        {
            "source": order.title,
            "list_id": contacts.id,
            "list_name": contacts.name,
            "journal": None if order.journal is None else str(order.journal),
            "rejects": str(order.rejects) if rejected else None,
            "records_in_rejects": rejected,
            **report_value(report),
            "error": complaint,
            "exit_code": int(code),
        }
    )
    if complaint is not None:
        screen.tell(f"error: {complaint}")
    if rejects is not None and rejects.kept is not None:
        screen.tell(f"{rejects.path} as it was before is kept as {rejects.kept.name}.")
    for hint in _hints(order, report, error, rejected):
        screen.tell(hint)
    return code


def _begun(journal: Path) -> bool:
    return journal.exists() and journal.stat().st_size > 0  # an empty file is as good as none


def _rejects_of(order: Order, *, going_on: bool) -> Rejects | None:
    if order.journal is not None and not os.access(order.journal.absolute().parent, os.W_OK):
        raise ConfigurationError(f"{order.journal} cannot be written: its folder is not there, or not writable")
    if order.rejects is None:
        return None
    return Rejects(order.rejects, journal=order.journal, source=order.source, going_on=going_on)


def _settings_of(order: Order, rejects: Rejects | None) -> BulkSettings:
    settings = BulkSettings(**order.settings)
    settings["number_field"] = order.number
    settings["dedupe"] = order.number if order.dedupe else None
    settings["journal"] = SQLiteJournal(order.journal) if order.journal is not None else None
    if rejects is not None:
        settings["on_skipped"] = rejects.write_problem
    return settings


def _words(error: MobizError) -> str:
    """Return what to say of an error; of a source that failed, what its own kind of error says as well."""
    if isinstance(error, SourceError) and isinstance(error.__cause__, MobizError):
        return f"{error}: {error.__cause__}"
    return str(error)


async def _list_of(
    order: Order, mobiz: MobizClient, recipients: Recipients, screen: Screen, *, resuming: bool
) -> DataList:
    definition = order.definition(recipients)
    if order.list_id is not None:
        return DataList(order.list_id, definition=definition)
    name = order.new_list or ""
    known = await _list_in(order.journal) if resuming and order.journal is not None else None
    if known is not None:
        screen.remark(f"going on with list {known}, which the run that began this journal created")
        return DataList(known, name, definition)
    contacts = await mobiz.create_list(name, definition or {})
    formats = ", ".join(f"{field} ({form})" for field, form in (definition or {}).items())
    screen.remark(f"created list {contacts.id}, {name!r}: {formats}")
    return contacts


async def _list_in(path: Path) -> str | None:
    journal = SQLiteJournal(path)
    await journal.open(None)
    try:
        return (await journal.identity()).get("list id")
    finally:
        await journal.close()


# How to go on

_FIRST = {
    SourceChangedError: "Once the source is what it was",
    SourceError: "Once the source can be read",
    InvalidRecordError: "Once the record is mended",
}
"""What must be done before the same command could end otherwise."""


def _hints(order: Order, report: BulkReport, error: MobizError | None, rejected: int) -> list[str]:
    hints: list[str] = []
    if not report.read and report.stopped is None:
        hints.append(f"{order.title} has no records: nothing was sent.")
    if report.unknown:
        hints.append(
            f"{plural(report.unknown, 'record')} may or may not have been sent: ask the vendor before sending again."
        )
    if report.unknown and order.journal is not None:
        hints.append("Which they are:")
        hints.append(f"  mobiz journal export {shlex.quote(str(order.journal))} --state unknown")
    if rejected:
        hints.append(
            f"{plural(rejected, 'record')} in {order.rejects}: mend it and send it, without --map"
            + (" and without the unknown ones." if report.unknown else ".")
        )
    if isinstance(error, InvalidRecordError):
        hints.append("--on-invalid skip goes on without such records, and --rejects FILE keeps them.")
    if report.stopped is None and not report.not_sent:
        return hints
    if order.journal is not None:
        if isinstance(error, SourceChangedError):
            hints.append("What an earlier run has settled is in the journal, whatever the table above says of it.")
        first = next((words for kind, words in _FIRST.items() if isinstance(error, kind)), "To go on")
        return [*hints, f"{first}, the same again; nothing goes out twice:", f"  {shlex.join(order.argv)}"]
    if not report.read:
        return hints
    unread = "" if report.stopped is None else f"Nothing after record {report.read:,} was read. "
    return [*hints, f"{unread}With --journal, the same command could go on."]
