"""`mobiz journal`: what a run left, its records, and unknown chunks settled by hand."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.table import Table
from rich.text import Text

from mobiz_async.cli.arguments import PlainCommand
from mobiz_async.cli.exporting import exported, refuse_journal
from mobiz_async.cli.screen import Screen, json_option, plural, quiet_option
from mobiz_async.cli.streams import delivered, output_failed
from mobiz_async.errors import ConfigurationError
from mobiz_async.journal import ChunkState, Part, SQLiteJournal, summarize
from mobiz_async.legible import legible
from mobiz_async.recipients.intake import SUPPRESSION

__all__ = ["journal"]

T = TypeVar("T")

_FILE = click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
_SHOWN_UNKNOWN = 20
_STYLES = {ChunkState.ACCEPTED: "green", ChunkState.REJECTED: "red", ChunkState.UNKNOWN: "yellow"}
_MEANING = {
    ChunkState.PENDING: "not sent; the same command sends it{but}",
    ChunkState.ACCEPTED: "",
    ChunkState.REJECTED: "refused; `journal export` has them",
    ChunkState.UNKNOWN: "may or may not have been sent",
}


@click.group(short_help="Look into the journal of a run.")
def journal() -> None:
    """Look into the journal of a run, and settle what it could not.

    A journal that a run is using is refused, at once: exit code 2.
    """


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[SQLiteJournal]:
    opened = SQLiteJournal(path)
    await opened.open(None)
    try:
        yield opened
    finally:
        await opened.close()


def _with(path: Path, work: Callable[[SQLiteJournal], Awaitable[T]]) -> T:
    async def go() -> T:
        async with _opened(path) as opened:
            return await work(opened)

    return asyncio.run(go())


def _but(identity: Mapping[str, str]) -> str:
    """Return whom the run leaves out of what is not sent: the journal holds them like all others."""
    return ", opt-outs left out" if SUPPRESSION in identity else ""


def _last_row(part: Part) -> int:
    return sum(part.rows[-1]) - 1 if part.rows else part.first_record + part.count - 1


def _rows(part: Part) -> str:
    return f"{part.first_record:,} to {_last_row(part):,}"


def _time(moment: float | None) -> str:
    return "" if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")


# Status


@journal.command(cls=PlainCommand, short_help="Show how far the run is.")
@_FILE
@json_option
@quiet_option
def status(file: Path, *, as_json: bool, quiet: bool) -> int:
    """Show how far the run is: records by state, and which chunks are unknown."""
    screen = Screen(quiet, as_json)

    async def look(opened: SQLiteJournal) -> tuple[dict[str, str], list[Part]]:
        return dict(await opened.identity()), [part async for part in opened.parts()]

    identity, parts = _with(file, look)
    books = summarize(parts)
    unknown = [part for part in parts if part.state is ChunkState.UNKNOWN]
    screen.show(Text(legible(f"{file.name}: list {identity.get('list id', '?')}"), style="bold"))
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for state, meaning in _MEANING.items():
        count = books.records[state]
        style = _STYLES.get(state, "") if count else ""
        remark = meaning.format(but=_but(identity)) if count else ""
        table.add_row(f"  {state.value}", Text(f"{count:,}", style=style), Text(remark, style="dim"))
    screen.show(table, f"{plural(books.chunks, 'chunk')}; everything up to record {books.low_water:,} is settled")
    if unknown:
        screen.show("", _unknown_table(unknown))
    screen.write_json(
        {
            "journal": str(file),
            "list_id": identity.get("list id"),
            "records": {state.value: books.records[state] for state in _MEANING},
            "chunks": books.chunks,
            "low_water": books.low_water,
            "unknown_chunks": [_unknown_value(part) for part in unknown],
        }
    )
    return delivered()


def _unknown_table(unknown: list[Part]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="")
    # On a narrow screen all fold but the one that `resolve` asks for: nothing is cut off.
    table.add_column("chunk", justify="right", no_wrap=True)
    table.add_column("records", overflow="fold")
    table.add_column("sent (UTC)", overflow="fold")
    table.add_column("status", justify="right", overflow="fold")
    table.add_column("reference", overflow="fold")
    for part in unknown[:_SHOWN_UNKNOWN]:
        status_text = "" if part.status is None else str(part.status)
        table.add_row(str(part.index), _rows(part), _time(part.intended_at), status_text, legible(part.reference or ""))
    if len(unknown) > _SHOWN_UNKNOWN:
        table.add_row("", f"and {len(unknown) - _SHOWN_UNKNOWN:,} more")
    return table


def _unknown_value(part: Part) -> dict[str, Any]:
    return {
        "chunk": part.index,
        "first_record": part.first_record,
        "last_record": _last_row(part),
        "records": part.count,
        "attempts": part.attempts,
        "sent_at": part.intended_at,
        "status": part.status,
        "reference": part.reference,
    }


# Export

_REASONS = {
    ChunkState.REJECTED: "rejected",
    ChunkState.UNKNOWN: "unknown: ask the vendor before sending it again",
    ChunkState.PENDING: "not sent",
}


@journal.command(cls=PlainCommand, short_help="Get records back, as JSON Lines.")
@_FILE
@click.option(
    "--state",
    type=click.Choice([state.value for state in _REASONS]),
    required=True,
    help="Which: rejected, unknown, or pending (not sent).",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, readable=False, allow_dash=True),
    help="Write there, readable by you only, instead of standard output (-).",
)
@quiet_option
def export(file: Path, *, state: str, output: Path | None, quiet: bool) -> int:
    """Get the records in one state back, as JSON Lines: _row, _reason and the record's own fields.

    `mobiz send` reads such a file, and leaves _row and _reason out.
    """
    wanted = ChunkState(state)
    place = None if output in (None, Path("-")) else output
    if place is not None:
        refuse_journal(place, file)

    async def write(opened: SQLiteJournal) -> tuple[int, int, bool]:
        written = missing = 0
        suppressed = SUPPRESSION in await opened.identity()
        with exported(place) as target:
            async for part in opened.parts(wanted):
                body = await opened.body(part.index, part.start)
                if body is None:
                    missing += part.count
                    continue
                target.writelines(_lines(part, body, _REASONS[wanted]))
                written += part.count
                if place is None and output_failed():
                    break
        return written, missing, suppressed

    written, missing, suppressed = _with(file, write)
    if place is None and output_failed():
        return delivered()
    screen = Screen(quiet)
    screen.remark(f"{plural(written, 'record')} {state}")
    if written and suppressed:
        screen.tell("Some of them may have opted out: send them with --suppress, as the run was.")
    if missing:
        screen.tell(f"{plural(missing, 'record')} more are in the source only; the journal never had to hold them")
    return 0


def _lines(part: Part, body: bytes, reason: str) -> Any:
    rows = (first + offset for first, length in part.rows for offset in range(length))
    reason = f"{reason} (HTTP {part.status})" if part.status is not None else reason
    for row, record in zip(rows, msgspec.json.decode(body, type=list[dict[str, Any]]), strict=True):
        yield msgspec.json.encode({"_row": row, "_reason": reason, **record}) + b"\n"


# Resolve


@contextmanager
def _interrupted_at_once() -> Iterator[None]:
    """Let Ctrl-C end the block, in which the loop waits: asyncio would only have it cancel a task, later."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@journal.command(cls=PlainCommand, short_help="Settle unknown chunks by hand.")
@_FILE
@click.argument("indexes", metavar="[CHUNK ...]", nargs=-1, type=click.IntRange(0))
@click.option("--all-unknown", is_flag=True, help="All chunks that are unknown.")
@click.option("--accepted/--not-sent", "accepted", default=None, help="What the vendor says became of them.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@quiet_option
@click.pass_context
def resolve(
    ctx: click.Context,
    file: Path,
    indexes: tuple[int, ...],
    *,
    all_unknown: bool,
    accepted: bool | None,
    yes: bool,
    quiet: bool,
) -> int:
    """Settle unknown chunks by hand, after the vendor has said what became of them.

    `mobiz journal status` lists them. What is marked --accepted is never sent again; what is marked --not-sent is sent
    when the run goes on.
    """
    if accepted is None:
        ctx.fail("which is it? --accepted or --not-sent")
    if bool(indexes) == all_unknown:
        ctx.fail("name the chunks, or say --all-unknown")

    async def settle(opened: SQLiteJournal) -> int:
        unknown: dict[int, int] = {}
        async for part in opened.parts(ChunkState.UNKNOWN):
            unknown[part.index] = unknown.get(part.index, 0) + part.count
        chosen = sorted(unknown) if all_unknown else sorted(set(indexes))
        strangers = [index for index in chosen if index not in unknown]
        if strangers:
            names = ", ".join(map(str, strangers))
            raise ConfigurationError(f"not unknown: {plural(len(strangers), 'chunk')} ({names}); nothing was changed")
        records = sum(unknown[index] for index in chosen)
        if not chosen:
            return 0
        if not yes:
            but = _but(await opened.identity())
            word = "accepted: never sent again" if accepted else f"not sent: sent when the run goes on{but}"
            question = f"Mark {plural(records, 'record')} in {plural(len(chosen), 'chunk')} as {word}?"
            with _interrupted_at_once():
                click.confirm(question, abort=True, err=True)
        return sum([await opened.resolve(index, accepted=accepted) for index in chosen])

    settled = _with(file, settle)
    Screen(quiet).remark(f"{plural(settled, 'record')} marked as {'accepted' if accepted else 'not sent'}")
    return 0
