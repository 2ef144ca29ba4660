"""The end of a run in words and figures: a table for people, a value for machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mobiz_async.cli.screen import plural
from mobiz_async.errors import InvalidRecordError, MobizError, SourceChangedError
from mobiz_async.models import Outcome, StopReason
from mobiz_async.recipients.stages import SKIPS
from mobiz_async.reports import BulkReport, ChunkOutcome

__all__ = ["failure_line", "report_table", "report_value"]

_SHOWN_FAILURES = 5
_STYLES = {Outcome.REJECTED: "red", Outcome.NOT_SENT: "red", Outcome.UNKNOWN: "yellow", Outcome.ACCEPTED: "green"}


def report_table(
    report: BulkReport, title: str, error: MobizError | None = None, why: str | None = None
) -> RenderableType:
    """Return the books as people read them, within 80 columns.

    ``error`` is what ended the run, ``why`` what it was stopped for, where the report cannot know.
    """
    parts: list[RenderableType] = [Text(title, style="bold"), _books(report)]
    if report.failures:
        parts.append(_failures(report))
    rate = report.read / report.elapsed if report.elapsed else 0.0
    requests = plural(report.requests, "request")
    if report.retries:
        requests += f" ({report.retries:,} of them sent again)"
    parts.append(Text(f"{requests} in {report.elapsed:,.1f} s, {rate:,.0f} records a second"))
    if report.resumed:
        parts.append(Text(f"{plural(report.resumed, 'record')} taken over from an earlier run."))
    if report.stopped is not None:
        parts.append(Text(f"Stopped early: {why or _why(report.stopped, error)}.", style="yellow"))
    return Group(*parts)


def _why(stopped: StopReason, error: MobizError | None) -> str:
    match error:
        case InvalidRecordError():
            return "a record is invalid"
        case SourceChangedError():
            return "the source has changed"
    match stopped:
        case StopReason.ASKED | StopReason.CANCELLED:
            return "interrupted"
        case StopReason.FAILURE_RATE:
            return "more records failed than --max-failure-rate allows"
    return stopped.value


def _books(report: BulkReport) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    reasons = sorted(report.skipped_by_reason.items(), key=lambda each: -each[1])
    rows = (
        ("accepted", report.accepted, "green", ""),
        ("skipped", report.skipped, "", "; ".join(f"{count:,} {reason}" for reason, count in reasons)),
        ("rejected", report.rejected, "red", ""),
        ("unknown", report.unknown, "yellow", "may or may not have been sent" if report.unknown else ""),
        ("not sent", report.not_sent, "red", ""),
    )
    for name, count, style, remark in rows:
        table.add_row(name, Text(f"{count:,}", style=style if count else ""), Text(remark))
    table.add_row("", "-" * len(f"{report.read:,}"), "")
    table.add_row("read", Text(f"{report.read:,}", style="bold"), "")
    return Padding(table, (0, 0, 1, 2))


def _failures(report: BulkReport) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for chunk in report.failures[:_SHOWN_FAILURES]:
        outcome = chunk.outcome.value.replace("_", " ")
        why = str(chunk.error) if chunk.error is not None else ""
        table.add_row(Text(outcome, style=_STYLES[chunk.outcome]), _place(chunk), Text(why))
    more = report.failed_chunks - min(len(report.failures), _SHOWN_FAILURES)
    if more:
        table.add_row("", f"and {plural(more, 'chunk')} more", "")
    return Padding(table, (0, 0, 1, 2))


def _place(chunk: ChunkOutcome) -> str:
    last = sum(chunk.runs[-1]) - 1 if chunk.runs else chunk.first_record + chunk.count - 1
    first = chunk.first_record
    return f"records {first:,} to {last:,}" if last > first else f"record {last:,}"


def report_value(report: BulkReport) -> dict[str, Any]:
    """Return the books for ``--json``. There is no record's content in it."""
    return {
        "read": report.read,
        "accepted": report.accepted,
        "rejected": report.rejected,
        "unknown": report.unknown,
        "not_sent": report.not_sent,
        "skipped": report.skipped,
        "skipped_by_reason": dict(report.skipped_by_reason),
        "chunks": report.chunks,
        "requests": report.requests,
        "retries": report.retries,
        "resumed": report.resumed,
        "elapsed": round(report.elapsed, 3),
        "stopped": _reason(report.stopped),
        "failed_chunks": report.failed_chunks,
        "failures": list(_failure_values(report)),
    }


def failure_line(report: BulkReport) -> str:
    """Return in one line what was not accepted, and why the first of it was not: for whoever wants no report."""
    wished = {reason.value for reason in SKIPS}
    held_back = {reason: count for reason, count in report.skipped_by_reason.items() if reason not in wished}
    counts = (
        (report.rejected, "rejected"),
        (report.unknown, "unknown"),
        (report.not_sent, "not sent"),
        (sum(held_back.values()), "held back"),
    )
    told = [f"{count:,} of {plural(report.read, 'record')} {_were(count)} {what}" for count, what in counts if count]
    line = ", ".join(told) or f"{plural(report.read, 'record')} {_were(report.read)} read"
    first = next((str(chunk.error) for chunk in report.failures if chunk.error is not None), None)
    first = first or next(iter(held_back), None)
    if first is not None:
        return f"{line}; the first: {first}"
    return line if report.stopped is None else f"{line}; stopped early: {_why(report.stopped, report.error)}"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _reason(reason: StopReason | None) -> str | None:
    return None if reason is None else reason.name.lower()


def _failure_values(report: BulkReport) -> Iterator[dict[str, Any]]:
    for chunk in report.failures:
        yield {
            "chunk": chunk.index,
            "first_record": chunk.first_record,
            "records": chunk.count,
            "outcome": chunk.outcome.value,
            "attempts": chunk.attempts,
            "status": chunk.status,
            "error": None if chunk.error is None else str(chunk.error),
            "reference": None if chunk.error is None else chunk.error.reference,
        }
