"""What `mobiz send` does: the list, the run with all there is to see of it, the report, and how to go on."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Callable
from pathlib import Path

from mobiz_async.bulk import BulkRun
from mobiz_async.cli.account import client_from_environment
from mobiz_async.cli.exits import exit_of_report
from mobiz_async.cli.interruption import Interruption, interruptible
from mobiz_async.cli.orders import Order, Source, open_source
from mobiz_async.cli.progress import Progress, Trouble
from mobiz_async.cli.reporting import report_table, report_value
from mobiz_async.cli.screen import Screen, plural
from mobiz_async.client import MobizClient
from mobiz_async.errors import InvalidRecordError, MobizError
from mobiz_async.journal import SQLiteJournal
from mobiz_async.models import DataList, Outcome
from mobiz_async.options import BulkSettings
from mobiz_async.recipients.rejects import RejectsWriter
from mobiz_async.recipients.sources import Recipients
from mobiz_async.recipients.stages import SKIPS, Problem
from mobiz_async.reports import BulkReport, ChunkOutcome

__all__ = ["conduct", "send_order"]


async def conduct(
    mobiz: MobizClient,
    contacts: DataList,
    source: Source,
    settings: BulkSettings,
    screen: Screen,
    interruption: Interruption,
    trouble: Trouble,
    not_accepted: Callable[[ChunkOutcome], None] | None = None,
) -> tuple[BulkReport, MobizError | None]:
    """Do a bulk run, show how far it is, obey signals; return the report, and the error that ended it.

    ``trouble`` is among the client's event hooks. ``not_accepted`` is given each chunk that was not, with its records.
    Raises what goes wrong before the run begins.
    """
    run: BulkRun | None = None
    error: MobizError | None = None
    try:
        async with mobiz.bulk(contacts, source.records, **settings) as run:
            interruption.guard(run)
            known = source.recipients
            shown = Progress(
                screen, source.title, run, total=known.length, read_fraction=known.fraction, trouble=trouble
            )
            interruption.before_leaving = shown.hide
            async with shown:
                await _follow(run, not_accepted)
    except asyncio.CancelledError:
        if not interruption.absorb():
            raise
    except MobizError as raised:
        error = raised
    interruption.over()
    if run is None or run.report is None:
        raise error or asyncio.CancelledError
    return run.report, error or run.report.error


async def _follow(run: BulkRun, not_accepted: Callable[[ChunkOutcome], None] | None) -> None:
    if not_accepted is None:
        await run.finish()
        return
    async for chunk in run:
        if chunk.outcome is not Outcome.ACCEPTED:
            not_accepted(chunk)


async def send_order(order: Order, screen: Screen) -> int:
    """Send what was ordered, tell how it ended, and return the exit code."""
    return await interruptible(order.grace, screen.tell, lambda interruption: _send(order, screen, interruption))


async def _send(order: Order, screen: Screen, interruption: Interruption) -> int:
    trouble = Trouble()
    async with client_from_environment(events=[trouble]) as mobiz, open_source(order) as source:
        resuming = order.journal is not None and await asyncio.to_thread(order.journal.exists)
        contacts = await _list_of(order, mobiz, source.recipients, screen, resuming=resuming)
        settings = BulkSettings(**order.settings)
        settings["number_field"] = order.number
        settings["dedupe"] = order.number if order.dedupe else None
        settings["journal"] = SQLiteJournal(order.journal) if order.journal is not None else None
        screen.remark(f"sending {source.title} to list {contacts.id}")
        with _rejects(order, source.recipients, overwrite=resuming) as rejects:
            if rejects is not None:
                settings["on_skipped"] = lambda problem: _write_problem(rejects, problem)
            report, error = await conduct(
                mobiz,
                contacts,
                source,
                settings,
                screen,
                interruption,
                trouble,
                None if rejects is None else lambda chunk: _write_chunk(order, rejects, chunk),
            )
            rejected = 0 if rejects is None else rejects.count
    code = exit_of_report(report, error, interruption.exit)
    screen.show("", report_table(report, f"{order.title} to list {contacts.id}", error))
    screen.write_json(
        {
            "source": order.title,
            "list_id": contacts.id,
            "list_name": contacts.name,
            "journal": None if order.journal is None else str(order.journal),
            "rejects": str(order.rejects) if rejected else None,
            "records_in_rejects": rejected,
            **report_value(report),
            "error": None if error is None else str(error),
            "exit_code": int(code),
        }
    )
    if error is not None:
        screen.tell(f"error: {error}")
    for hint in _hints(order, report, error, rejected):
        screen.tell(hint)
    return code


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


# Records that did not go


def _rejects(
    order: Order, recipients: Recipients, *, overwrite: bool
) -> contextlib.AbstractContextManager[RejectsWriter | None]:
    # A run that goes on meets all that was held back or refused before it again: the file is made anew, in full.
    if order.rejects is None:
        return contextlib.nullcontext()
    return RejectsWriter(order.rejects, recipients.fields, overwrite=overwrite)


def _write_problem(rejects: RejectsWriter, problem: Problem) -> None:
    if problem.reason not in SKIPS:  # duplicates and suppressed numbers are not to be mended
        rejects.write_problem(problem)


_REASONS = {
    Outcome.REJECTED: "rejected",
    Outcome.NOT_SENT: "not sent",
    Outcome.UNKNOWN: "unknown: it may have been sent, ask the vendor first",
}


def _write_chunk(order: Order, rejects: RejectsWriter, chunk: ChunkOutcome) -> None:
    if order.journal is not None and chunk.outcome is Outcome.NOT_SENT:
        return  # the same command sends it; whoever sent the file of rejects as well would text people twice
    reason = _REASONS[chunk.outcome]
    if chunk.status is not None:
        reason = f"{reason} (HTTP {chunk.status})"
    for row, record in chunk.records():
        rejects.write(record, row=row, reason=reason)


# How to go on


def _hints(order: Order, report: BulkReport, error: MobizError | None, rejected: int) -> list[str]:
    hints: list[str] = []
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
        return [*hints, "To go on, the same again; nothing goes out twice:", f"  {shlex.join(order.argv)}"]
    unread = "" if report.stopped is None else f"Nothing after record {report.read:,} was read. "
    return [*hints, f"{unread}With --journal, the same command could go on."]
