"""What `mobiz send` does: the list, the run with all there is to see of it, the report, and how to go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from mobiz_async.bulk import BulkRun
from mobiz_async.cli.account import client_from_environment
from mobiz_async.cli.exits import exit_of_report
from mobiz_async.cli.hints import hints, still_unknown
from mobiz_async.cli.interruption import Interruption, obeying_signals
from mobiz_async.cli.orders import Order, Source, open_source
from mobiz_async.cli.places import is_of_journal
from mobiz_async.cli.progress import Progress, Trouble
from mobiz_async.cli.rejecting import Rejects
from mobiz_async.cli.reporting import failure_line, report_table, report_value
from mobiz_async.cli.screen import Screen
from mobiz_async.cli.wording import words_of
from mobiz_async.client import MobizClient
from mobiz_async.errors import ConfigurationError, MobizError
from mobiz_async.journal import SQLiteJournal
from mobiz_async.models import DataList, Outcome
from mobiz_async.options import BulkSettings
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
        if run is None or run.report is None or not interruption.absorb():
            raise
    except MobizError as raised:
        if run is None or run.report is None:
            raise
        error = raised
    assert run is not None
    assert run.report is not None
    interruption.over()
    return run.report, error or run.report.error


async def _follow(run: BulkRun, rejects: Rejects | None) -> None:
    if rejects is None:
        await run.finish()
        return
    async for chunk in run:
        if chunk.outcome is not Outcome.ACCEPTED:
            rejects.write_chunk(chunk)


def send_order(order: Order, screen: Screen) -> int:
    """Send what was ordered, tell how it ended, and return the exit code."""
    return obeying_signals(order.grace, screen.tell, lambda interruption: _send(order, screen, interruption))


async def _send(order: Order, screen: Screen, interruption: Interruption) -> int:
    trouble = Trouble()
    async with client_from_environment(events=[trouble, interruption.hear]) as mobiz, open_source(order) as source:
        resuming = order.journal is not None and await asyncio.to_thread(_begun, order.journal)
        rejects = await asyncio.to_thread(_rejects_of, order, going_on=resuming)
        settings = _settings_of(order, rejects)
        contacts = await _list_of(order, mobiz, source.recipients, screen, interruption, resuming=resuming)
        screen.remark(f"sending {source.title} to list {contacts.id}")
        try:
            report, error = await conduct(mobiz, contacts, source, settings, screen, interruption, trouble, rejects)
        finally:
            if rejects is not None:
                rejects.end()
    rejected = 0 if rejects is None else rejects.count
    complaint = words_of(error) if error is not None else rejects.complaint if rejects is not None else None
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
    if screen.quiet and code and complaint is None:
        screen.tell(failure_line(report))
    for hint in hints(order, report, error, rejected, await still_unknown(order, report)):
        screen.tell(hint)
    return code


def _begun(journal: Path) -> bool:
    try:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{journal}-journal").lstat()  # SQLite's own, whose name is longer
        return journal.exists() and journal.stat().st_size > 0  # an empty file is as good as none
    except OSError as error:
        raise ConfigurationError(f"{journal} cannot be a journal: {error.strerror}") from None


def _rejects_of(order: Order, *, going_on: bool) -> Rejects | None:
    if order.journal is not None and not os.access(order.journal.absolute().parent, os.W_OK):
        raise ConfigurationError(f"{order.journal} cannot be written: its folder is not there, or not writable")
    for path in order.read:
        if order.journal is not None and is_of_journal(path, order.journal):
            raise ConfigurationError(f"{path} is to be read: the journal needs a file of its own")
    if order.rejects is None:
        return None
    return Rejects(order.rejects, journal=order.journal, read=order.read, going_on=going_on)


def _settings_of(order: Order, rejects: Rejects | None) -> BulkSettings:
    settings = BulkSettings(**order.settings)
    settings["number_field"] = order.number
    settings["dedupe"] = order.number if order.dedupe else None
    settings["journal"] = SQLiteJournal(order.journal) if order.journal is not None else None
    if rejects is not None:
        settings["on_skipped"] = rejects.write_problem
    return settings


async def _list_of(
    order: Order,
    mobiz: MobizClient,
    recipients: Recipients,
    screen: Screen,
    interruption: Interruption,
    *,
    resuming: bool,
) -> DataList:
    definition = order.definition(recipients)
    if order.list_id is not None:
        return DataList(order.list_id, definition=definition)
    name = order.new_list or ""
    known = await _list_in(order.journal) if resuming and order.journal is not None else None
    if known is not None:
        screen.remark(f"going on with list {known}, the one of the run that began this journal")
        return DataList(known, name, definition)
    interruption.doubt = f"list {name!r} may have been created"
    contacts = await mobiz.create_list(name, definition or {})
    interruption.made = f"list {contacts.id}, {name!r}, was created"
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
