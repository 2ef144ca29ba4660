"""The command line of `mobiz send`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import attrs
import click
from click.core import ParameterSource

from mobiz_async.cli.arguments import SectionedCommand, assignments, definition, duration, regular_path
from mobiz_async.cli.orders import Order
from mobiz_async.cli.previewing import preview_order
from mobiz_async.cli.screen import Screen, json_option, quiet_option
from mobiz_async.cli.sending import send_order
from mobiz_async.models import MAX_RECORDS_PER_APPEND, OnInvalid, OnRejected, OnUnknown
from mobiz_async.options import BulkOptions, BulkSettings
from mobiz_async.recipients.columns import parse_assignments
from mobiz_async.recipients.dedupe import load_suppression
from mobiz_async.recipients.phones import check_region
from mobiz_async.recipients.sources import FileFormat

__all__ = ["send"]

_PATH = click.Path(path_type=Path, dir_okay=False)

# "\b" tells click not to wrap the paragraph.
_EXAMPLES = """\b
Examples:
  mobiz send spring.csv --list 142874 --map Number=cell --region ZA --dry-run
  mobiz send spring.csv --new-list Spring --journal run.db --rejects bad.csv
  zcat export.jsonl.gz | mobiz send - --list 142874"""


def _choice(kind: Any) -> click.Choice[str]:
    return click.Choice([member.value for member in kind])


_SECTIONS = {
    "list_id": "Where to",
    "mapping": "The file",
    "region": "The numbers",
    "on_invalid": "What if",
    "journal": "The run",
    "dry_run": "A look first",
    "as_json": "Output",
}
"""The first option of each section of the help text -> its heading."""


@click.command(
    cls=SectionedCommand, sections=_SECTIONS, short_help="Send a file of recipients to a list.", epilog=_EXAMPLES
)
@click.argument("file", metavar="FILE", type=click.Path(allow_dash=True, readable=False, path_type=str))
@click.option("--list", "list_id", metavar="ID", help="The list to send to.")
@click.option("--new-list", metavar="NAME", help="Create a list of this name and send to it.")
@click.option(
    "--field",
    "fields",
    metavar="NAME=FORMAT",
    multiple=True,
    help="A field of the list: msisdn, text, numeric or email; records are checked against it. Without any, a new list "
    "has the file's columns, the number's as msisdn and all others as text.",
)
@click.option(
    "--map",
    "mapping",
    metavar="FIELD=COLUMN",
    multiple=True,
    help="Where a field comes from: a column, or a text with columns in braces: 'Message=Hi {name}'.",
)
@click.option("--common", metavar="FIELD=VALUE", multiple=True, help="A field that all records have.")
@click.option("--number-field", metavar="FIELD", help="The field of the phone number.  [default: Number]")
@click.option(
    "--format",
    "form",
    metavar="KIND",
    type=_choice(FileFormat),
    help="csv, jsonl, excel or parquet, where name and content mislead.",
)
@click.option("--header", metavar="A,B,C", help="The columns of a file that has no header.")
@click.option("--encoding", metavar="NAME", help="Of a text file.  [default: UTF-8]")
@click.option("--delimiter", metavar="CHAR", help="Between the cells; \\t is a tab.  [default: as found]")
@click.option("--sheet", metavar="NAME", help="Of a workbook.  [default: the first that is not hidden]")
@click.option("--region", metavar="CODE", help="Bring numbers to the API's form, national ones as of this region: ZA.")
@click.option("--mobile-only", is_flag=True, help="Other than mobile numbers are invalid. Needs --region.")
@click.option("--dedupe", is_flag=True, help="To each number once.")
@click.option("--suppress", metavar="FILE", type=_PATH, help="Numbers that are not to be texted, one a line.")
@click.option("--suppress-column", metavar="COLUMN", help="Where they are in it, if it is a table.")
@click.option(
    "--on-invalid",
    metavar="raise|skip",
    type=_choice(OnInvalid),
    help="A record that cannot go ends the run, or is skipped.  [default: raise; with --rejects: skip]",
)
@click.option(
    "--on-rejected",
    metavar="keep|stop|split",
    type=_choice(OnRejected),
    default=OnRejected.KEEP.value,
    help="A chunk was refused: go on, stop, or halve it to find the bad records.  [default: keep]",
)
@click.option(
    "--on-unknown",
    metavar="keep|stop|resend",
    type=_choice(OnUnknown),
    default=OnUnknown.KEEP.value,
    help="A chunk may have been sent: go on, stop, or send it again, and perhaps twice.  [default: keep]",
)
@click.option(
    "--max-failure-rate",
    metavar="SHARE",
    type=float,
    help="Stop when more than this of what was tried was not accepted: 0.05 is 5 %. What is skipped does not count.",
)
@click.option(
    "--rejects",
    metavar="FILE",
    type=_PATH,
    callback=regular_path,
    help="Write every record that did not go, and why: CSV, or .jsonl. With --journal, without those that the same "
    "command will send.",
)
@click.option(
    "--journal",
    metavar="FILE",
    type=_PATH,
    callback=regular_path,
    help="Write the run down; the same command goes on with it.",
)
@click.option(
    "--chunk-size",
    metavar="N",
    type=int,
    default=MAX_RECORDS_PER_APPEND,
    help="Records in a request.  [default: 10000]",
)
@click.option("--concurrency", metavar="N", type=int, help="Requests in flight.  [default: 8]")
@click.option("--records-per-second", metavar="N", type=float, help="Send no faster.")
@click.option("--deadline", metavar="TIME", callback=duration, help="Start nothing new after so long: 90s, 30m, 2h.")
@click.option(
    "--grace",
    metavar="TIME",
    callback=duration,
    default="30s",
    help="How long what is in flight may take after Ctrl-C.  [default: 30s]",
)
@click.option("--dry-run", is_flag=True, help="Look, do not send. Needs no keys.")
@click.option("--message-field", metavar="FIELD", default="Message", help="The text, to count SMS.  [default: Message]")
@click.option("--price-per-segment", metavar="PRICE", help="Say what it costs.")
@json_option
@quiet_option
@click.pass_context
def send(ctx: click.Context, /, **asked: Any) -> int:
    """Send a file of recipients to a list.

    FILE is CSV, TSV, JSON Lines (also .gz or .zst), Excel or Parquet; - is standard input.

    The first Ctrl-C finishes what is in flight, the second leaves at once. With --journal, the same command goes on
    where it was and sends nothing twice, but for what --on-unknown resend asks for.
    """
    _check(ctx, asked)
    screen = Screen(asked["quiet"], asked["as_json"])
    order = _order(ctx, asked)
    if asked["dry_run"]:
        return preview_order(order, screen, asked["price_per_segment"])
    return send_order(order, screen)


_NEEDED = {
    "--mobile-only": "--region",
    "--suppress-column": "--suppress",
    # Who asks what it costs does not mean to send.
    "--price-per-segment": "--dry-run",
    "--message-field": "--dry-run",
}
"""An option -> the one without which it would do nothing."""


def _parameter(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _check(ctx: click.Context, asked: dict[str, Any]) -> None:
    if asked["list_id"] is not None and asked["new_list"] is not None:
        ctx.fail("--list and --new-list exclude each other")
    if asked["list_id"] is None and asked["new_list"] is None and not asked["dry_run"]:
        ctx.fail("where to? --list ID, or --new-list NAME")
    for name, needed in _NEEDED.items():
        given = ctx.get_parameter_source(_parameter(name)) is not ParameterSource.DEFAULT
        if given and asked[_parameter(needed)] in (None, False):
            ctx.fail(f"{name} needs {needed}")
    if asked["region"] is not None:
        check_region(asked["region"])


def _asked_of(kind: type[attrs.AttrsInstance], asked: dict[str, Any], *, but: Collection[str]) -> dict[str, Any]:
    """Return what was asked for under the names of ``kind``'s fields, and so what a later option will ask for."""
    return {field.name: asked[field.name] for field in attrs.fields(kind) if field.name in asked.keys() - but}


def _order(ctx: click.Context, asked: dict[str, Any]) -> Order:
    suppress = None
    if asked["suppress"] is not None:
        suppress = load_suppression(asked["suppress"], asked["suppress_column"], region=asked["region"] or "ZA")
    settings = BulkSettings(
        common=assignments(asked["common"]) or None,
        suppress=suppress,
        on_invalid=asked["on_invalid"] or (OnInvalid.SKIP if asked["rejects"] is not None else OnInvalid.RAISE),
    )
    # A journal is opened, and the field to dedupe by known, when the run begins.
    settings.update(cast("BulkSettings", _asked_of(BulkOptions, asked, but={*settings, "journal", "dedupe"})))
    BulkOptions(**settings)  # what cannot be done as asked is told first
    header = asked["header"]
    return Order(
        source=asked["file"],
        argv=(*(ctx.find_root().info_name or "mobiz").split(), *ctx.meta["mobiz.argv"]),
        fields=definition(asked["fields"]),
        file_options={
            "mapping": parse_assignments(asked["mapping"]) or None,
            "format": asked["form"],
            "encoding": asked["encoding"],
            "delimiter": "\t" if asked["delimiter"] == r"\t" else asked["delimiter"],
            "header": [column.strip() for column in header.split(",")] if header else None,
            "sheet": asked["sheet"],
        },
        settings=settings,
        **_asked_of(Order, asked, but={"fields"}),
    )
