"""`mobiz send --dry-run`: what would be sent, what would not, and what it would cost. Nothing is."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mobiz_async.cli.exits import Exit
from mobiz_async.cli.orders import Order
from mobiz_async.cli.screen import Screen, plural
from mobiz_async.cli.streams import delivered
from mobiz_async.legible import legible
from mobiz_async.models import MAX_RECORDS_PER_APPEND
from mobiz_async.recipients.preview import BadRow, Preview, preview
from mobiz_async.recipients.stages import SKIPS

__all__ = ["preview_order", "preview_table"]

_SHOWN = 5
_SHOWN_ROWS = 10
_KEPT_ROWS = 100
_WISHED = frozenset(reason.value for reason in SKIPS)
"""Reasons that are no fault of a record."""


def preview_order(order: Order, screen: Screen, price_per_segment: str | None) -> int:
    """Read the source of ``order`` as a run would, show what would become of it, and return the exit code."""
    settings = order.settings
    busy = screen.err.status(f"reading {order.title}") if screen.live else contextlib.nullcontext()
    with order.open() as recipients, busy:
        seen = preview(
            recipients,
            definition=order.definition(recipients),
            number_field=order.number,
            message_field=order.message_field,
            region=settings.get("region"),
            mobile_only=settings.get("mobile_only", False),
            common=order.common or None,
            suppress=settings.get("suppress"),
            dedupe=order.number if order.dedupe else None,
            price_per_segment=price_per_segment,
            chunk_size=settings.get("chunk_size", MAX_RECORDS_PER_APPEND),
            first_bad=_KEPT_ROWS,
        )
    code = Exit.INCOMPLETE if set(seen.held_back) - _WISHED else Exit.OK
    screen.show(preview_table(seen, order.title, price_per_segment, order.message_field))
    screen.write_json({"source": order.title, "dry_run": True, **seen.to_dict()})
    if screen.quiet and code is not Exit.OK:
        screen.tell(_failure_line(seen))
    return delivered(code)


def _failure_line(seen: Preview) -> str:
    count = sum(count for reason, count in seen.held_back.items() if reason not in _WISHED)
    line = f"{count:,} of {plural(seen.read, 'record')} would not go"
    first = next((bad for bad in seen.bad if bad.reason not in SKIPS), None)
    if first is None:  # too far behind wished ones to be among those that are kept
        return line
    field = "" if first.field is None else f", field {first.field!r}"
    return f"{line}; the first: record {first.row:,}{field}: {first.reason.value}"


def preview_table(seen: Preview, title: str, price: str | None, message_field: str = "Message") -> RenderableType:
    """Return what would happen as people read it, within 80 columns."""
    parts: list[RenderableType] = [Text(f"{title}: a look, nothing was sent", style="bold"), _counts(seen)]
    details = _details(seen, price, message_field)
    if details.row_count:
        parts += ["", details]
    faulty = [bad for bad in seen.bad if bad.reason not in SKIPS]
    if faulty:
        parts += ["", _bad_rows(faulty[:_SHOWN_ROWS])]
    return Group(*parts)


def _counts(seen: Preview) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    size = f"{seen.bytes / 1e6:,.1f} MB" if seen.bytes > 1e5 else f"{seen.bytes:,} bytes"  # noqa: PLR2004  0.1 MB
    sent = f"would go, in {plural(seen.requests, 'request')} and {size}" if seen.good else "would go"
    table.add_row(Text(f"  {seen.good:,}", style="green" if seen.good else ""), sent)
    for reason, count in seen.held_back.items():
        table.add_row(Text(f"{count:,}", style="" if reason in _WISHED else "red"), Text(reason))
    table.add_row("-" * len(f"{seen.read:,}"), "")
    table.add_row(Text(f"  {seen.read:,}", style="bold"), "read")
    return table


def _details(seen: Preview, price: str | None, message_field: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    if seen.messages:
        table.add_row("  messages", f"{plural(seen.segments, 'SMS segment')} for {plural(seen.messages, 'text')}")
        table.add_row("", _listed(seen.encodings))
    for character, count in list(seen.forced_by.items())[:_SHOWN]:
        table.add_row("", Text(f"UCS-2 because of {_character(character)}: {count:,}", style="yellow"))
    if seen.cost is not None:
        table.add_row("  cost", Text(f"{seen.cost:,.2f}, at {price} a segment", style="bold"))
    elif price is not None and seen.good:
        why = f"no record has a text in {message_field!r}: name the field with --message-field"
        table.add_row("  cost", Text(why, style="yellow"))
    if seen.countries:
        table.add_row("  countries", _listed(seen.countries))
        table.add_row("  prefixes", _listed(seen.prefixes))
    return table


def _listed(counts: Mapping[str, int]) -> str:
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[: 2 * _SHOWN]]
    more = len(counts) - len(shown)
    return ", ".join([*shown, *([f"{more:,} more"] if more else [])])


def _character(character: str) -> str:
    name = unicodedata.name(character, "").lower() or "a character without a name"
    visible = f"{character} " if character.isprintable() and not unicodedata.combining(character) else ""
    return f"{visible}U+{ord(character):04X} ({name})"


def _bad_rows(faulty: Sequence[BadRow]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    table.add_column()
    for bad in faulty:
        table.add_row(f"  row {bad.row:,}", Text(legible(bad.field or "")), Text(bad.reason.value))
    return Group(Text("  The first of those that would not go:"), table)
