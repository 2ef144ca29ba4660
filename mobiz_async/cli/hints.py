"""What to do after a run: how to go on, and what to see to first. Nothing here promises more than the journal holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mobiz_async.cli.orders import Order
from mobiz_async.cli.screen import plural
from mobiz_async.cli.shell import quoted
from mobiz_async.cli.wording import OPTIONS
from mobiz_async.errors import (
    AuthenticationError,
    InvalidRecordError,
    JournalError,
    JournalLostError,
    MobizError,
    SourceChangedError,
    SourceError,
)
from mobiz_async.journal import ChunkState, Part, SQLiteJournal
from mobiz_async.models import OnUnknown, StopReason
from mobiz_async.reports import BulkReport

__all__ = ["hints", "still_unknown"]

_SHOWN_CHUNKS = 20
_FIRST = {
    SourceChangedError: "Once the source is what it was",
    SourceError: "Once the source can be read",
    InvalidRecordError: "Once the record is mended",
    AuthenticationError: "Once the keys are right",
}
"""What must be done before the same command could end otherwise, by what ended it with an error."""
_FIRST_OF_ALL = {
    StopReason.FAILURE_RATE: "With a higher --max-failure-rate",
    StopReason.MISDIRECTED: "Once the address is right (another list takes another journal)",
}
"""The same by why the run was stopped."""


async def still_unknown(order: Order, report: BulkReport) -> Sequence[Part] | None:
    """Return what the journal of a run that is to go on holds as unknown; None: there is none, or it cannot be read."""
    if order.journal is None or not _is_to_go_on(report):
        return None
    journal = SQLiteJournal(order.journal)
    try:
        await journal.open(None)
        try:
            return [part async for part in journal.parts(ChunkState.UNKNOWN)]
        finally:
            await journal.close()
    except JournalError:
        return None


def _is_lost(order: Order, error: MobizError | None) -> bool:
    """Whether the journal that this run has written is not there for the next."""
    return order.journal is not None and (isinstance(error, JournalLostError) or not order.journal.exists())


def _is_to_go_on(report: BulkReport) -> bool:
    return report.stopped is not None or bool(report.not_sent)


def hints(
    order: Order, report: BulkReport, error: MobizError | None, rejected: int, unknown: Sequence[Part] | None
) -> list[str]:
    """Return the lines; indented ones are commands. ``rejected``: records in the file of rejects."""
    lines: list[str] = []
    if not report.read and report.stopped is None:
        lines.append(f"{order.title} has no records: nothing was sent.")
    in_doubt = _in_doubt(report, error, unknown)
    if in_doubt:
        lines.append(
            f"{plural(in_doubt, 'record')} may or may not have been sent: ask the vendor before sending again."
        )
    lost = _is_lost(order, error)
    if lost:
        lines.append(
            f"The journal of this run is not at {order.journal} any more. Put it back: without it the same command "
            "sends once more what this run has sent."
        )
    if in_doubt and order.journal is not None and not lost:
        lines.append("Which they are:")
        lines.append(f"  mobiz journal export {quoted((str(order.journal),))} --state unknown")
    if rejected:
        lines.append(f"{plural(rejected, 'record')} in {order.rejects}{_what_for(order, report, rejected)}.")
    if isinstance(error, InvalidRecordError):
        lines.append("--on-invalid skip goes on without such records, and --rejects FILE keeps them.")
    if not _is_to_go_on(report):
        return lines
    if order.journal is not None:
        return [*lines, *_with_journal(order, report, error, unknown)]
    if not report.read:
        return lines
    unread = "" if report.stopped is None else f"Nothing after record {report.read:,} was read. "
    return [*lines, f"{unread}{_without_journal(report)}"]


def _what_for(order: Order, report: BulkReport, rejected: int) -> str:
    if rejected == report.unknown:
        return ", all of them unknown: not to be sent before the vendor has been asked"
    return f": mend it and send it{_but(order, report)}"


def _but(order: Order, report: BulkReport) -> str:
    """Return without what the rejects are to be sent: they have a header, fields and an encoding of their own."""
    left = [OPTIONS[name] for name, value in order.file_options.items() if value]
    left += ["the unknown ones"] if report.unknown else []
    return f", without {' and '.join(left)}" if left else ""


def _in_doubt(report: BulkReport, error: MobizError | None, unknown: Sequence[Part] | None) -> int:
    """Return how many records only the vendor knows of. Of a source that has changed, the journal knows the others."""
    if isinstance(error, SourceChangedError) and unknown is not None:
        return _records(unknown)
    return report.unknown


def _without_journal(report: BulkReport) -> str:
    if not report.accepted and not report.unknown:
        return "Nobody got anything: the same command begins anew."
    return "The same command would send all of it again: only a run that began with --journal can go on."


def _with_journal(
    order: Order, report: BulkReport, error: MobizError | None, unknown: Sequence[Part] | None
) -> list[str]:
    lines: list[str] = []
    forgotten: Sequence[Part] | None = ()
    if isinstance(error, JournalError) and not isinstance(error, JournalLostError):
        forgotten = _forgotten(unknown, report)
        lines += _to_settle(order, report, forgotten)
    if isinstance(error, SourceChangedError):
        if report.unknown:
            lines.append("What an earlier run made of the unknown above, the journal can say once the source is right.")
        lines += _what_else_may_have_changed(order)
    first = _first(order, report, error, _in_doubt(report, error, unknown))
    return [
        *lines,
        f"{first}, the same again; {_promise(order, unknown, forgotten or ())}:",
        f"  {quoted(order.argv)}",
    ]


def _first(order: Order, report: BulkReport, error: MobizError | None, in_doubt: int) -> str:
    """Return what has to be done first: what earlier runs left counts as well, and would stop the next one at once."""
    if _is_lost(order, error):
        return "Once the journal is back"
    if in_doubt and _on_unknown(order) is OnUnknown.STOP:
        return "Once what is unknown is settled (mobiz journal resolve), or with --on-unknown keep"
    if report.stopped in _FIRST_OF_ALL:
        return _FIRST_OF_ALL[report.stopped]
    return next((words for kind, words in _FIRST.items() if isinstance(error, kind)), "To go on")


def _on_unknown(order: Order) -> OnUnknown:
    return OnUnknown(order.settings.get("on_unknown", OnUnknown.KEEP))


def _promise(order: Order, unknown: Sequence[Part] | None, forgotten: Sequence[Part]) -> str:
    """Return what going on does to those who may have had their message."""
    if _on_unknown(order) is not OnUnknown.RESEND:
        return "nothing goes out twice"
    but = "" if order.suppress is None else ", but for chunks in which somebody has opted out since"
    if unknown is None:
        return f"it sends what is unknown once more{but}"
    count = _records(unknown) - _records(forgotten)
    return f"it sends the {plural(count, 'unknown record')} once more{but}" if count else "nothing goes out twice"


def _records(parts: Iterable[Part]) -> int:
    return sum(part.count for part in parts)


def _forgotten(unknown: Sequence[Part] | None, report: BulkReport) -> list[Part] | None:
    """Return the parts that this run has counted as accepted, and that its journal does not know to be.

    Whatever was read and is not among the failures was accepted. None where that cannot be said: the report does not
    hold all failures of a run that has many. A chunk with a part that is unknown in truth is left out: it cannot be
    settled as a whole.
    """
    if unknown is None or report.failed_chunks > len(report.failures):
        return None
    failed = [_extent(chunk.runs) for chunk in report.failures]
    doubtful = {part.index for part in unknown if not _was_accepted(_extent(part.rows), failed, report.read)}
    return [part for part in unknown if part.index not in doubtful]


def _extent(runs: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return runs[0][0], sum(runs[-1]) - 1


def _was_accepted(rows: tuple[int, int], failed: Iterable[tuple[int, int]], read: int) -> bool:
    first, last = rows
    return last <= read and not any(first <= end and begin <= last for begin, end in failed)


def _to_settle(order: Order, report: BulkReport, forgotten: Sequence[Part] | None) -> list[str]:
    """Return how to tell the journal what it could not be told."""
    name = quoted((str(order.journal),))
    if forgotten:
        chunks = sorted({part.index for part in forgotten})
        named = " ".join(map(str, chunks)) if len(chunks) <= _SHOWN_CHUNKS else "CHUNK ..."
        records = plural(_records(forgotten), "record")
        return [
            f"The journal could not be told that {records} were accepted, and has them as unknown. Before all else:",
            f"  mobiz journal resolve {name} {named} --accepted",
        ]
    if forgotten is not None or not report.accepted:
        return []
    accepted = plural(report.accepted, "record")
    return [
        f"Of {accepted} that were accepted the journal may have some as unknown. Once it can be written again, look:",
        f"  mobiz journal status {name}",
        "and settle those: mobiz journal resolve FILE CHUNK ... --accepted",
    ]


def _what_else_may_have_changed(order: Order) -> list[str]:
    """Return what counts as the source beside the file: the journal knows the records as they came to be sent."""
    used = {"--map": order.file_options.get("mapping"), "--suppress": order.suppress}
    options = [option for option, value in used.items() if value]
    if not options:
        return []
    lines = [f"If it was not {order.title}, it was {' or '.join(options)}: the source is what comes of them all."]
    if order.suppress is not None:
        lines.append("Numbers may be added to --suppress between runs, but none taken off it.")
    return lines
