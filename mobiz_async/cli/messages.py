"""`mobiz trigger`, `mobiz schedule` and `mobiz create-list`: one request each."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

import click
import msgspec
from rich.table import Table
from rich.text import Text

from mobiz_async.cli.account import client_from_environment
from mobiz_async.cli.arguments import PlainCommand, assignments, definition, moment
from mobiz_async.cli.interruption import Interruption, obeying_signals
from mobiz_async.cli.screen import Screen, json_option, quiet_option
from mobiz_async.cli.streams import delivered
from mobiz_async.client import MobizClient
from mobiz_async.errors import ConfigurationError
from mobiz_async.legible import legible
from mobiz_async.models import DataList
from mobiz_async.reports import TriggerReceipt

__all__ = ["create_list", "schedule", "trigger"]

T = TypeVar("T")

_MESSAGE_IN_DOUBT = "the message may have been sent"

# "\b" tells click not to wrap the paragraph.
_TRIGGER_EXAMPLE = "\b\nExamples:\n  mobiz trigger 5f1c A=27821234567 B=Thandi\n  mobiz trigger 5f1c - <message.json"
_SCHEDULE_EXAMPLE = "\b\nExample:\n  mobiz schedule 5f1c --at 2026-12-01T08:00+02:00 A=27821234567 B=Thandi"
_CREATE_LIST_EXAMPLE = "\b\nExample:\n  mobiz create-list Spring Number=msisdn Message=text"


_LARGEST = 1 << 20
"""Bytes of a message on standard input."""


def _record(fields: tuple[str, ...]) -> dict[str, Any]:
    """Return the message: of the arguments, which every user of a machine can read, or of standard input."""
    if fields != ("-",):
        return dict(assignments(fields))
    try:
        return msgspec.json.decode(sys.stdin.buffer.read(_LARGEST), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # what it says may hold what was read
    raise ConfigurationError('standard input is to hold one JSON object, such as {"A": "27821234567", "B": "Thandi"}')


def _ask(
    screen: Screen,
    doubt: str,
    request: Callable[[MobizClient], Awaitable[T]],
    show: Callable[[T], int],
    **settings: Any,
) -> int:
    """Do one request and show what came of it; return the exit code. ``doubt``: what to say if it is broken off."""

    async def go(interruption: Interruption) -> int:
        interruption.doubt = doubt
        async with client_from_environment(events=[interruption.hear], **settings) as mobiz:
            answer = await request(mobiz)
            interruption.over()
        return show(answer)

    return obeying_signals(0.0, screen.tell, go)


def _show_pairs(screen: Screen, pairs: dict[str, str | None]) -> None:
    table = Table.grid(padding=(0, 2))
    for name, value in pairs.items():
        if value is not None:
            table.add_row(Text(name), Text(legible(value), overflow="fold"))
    screen.show(table)


def _show_receipt(screen: Screen, receipt: TriggerReceipt) -> int:
    ids = [message.message_id for message in receipt.messages]
    _show_pairs(
        screen,
        {
            "accepted": receipt.description or "",
            "reference": receipt.reference,
            "message id": ", ".join(filter(None, ids)) or None,
        },
    )
    screen.write_json(
        {
            "outcome": "accepted",
            "reference": receipt.reference,
            "result_code": receipt.result_code,
            "description": receipt.description,
            "message_id": receipt.message_id,
            "message_ids": ids,
        }
    )
    return 0  # also where the receipt cannot be written: whoever tried again would text twice


@click.command(cls=PlainCommand, short_help="Send one message now.", epilog=_TRIGGER_EXAMPLE)
@click.argument("trigger_key", metavar="KEY")
@click.argument("fields", metavar="A=NUMBER [B=TEXT ...]", nargs=-1, required=True)
@json_option
@quiet_option
def trigger(trigger_key: str, fields: tuple[str, ...], *, as_json: bool, quiet: bool) -> int:
    """Send one message now, through the engagement that has this trigger KEY.

    The columns are named by letters, as the engagement names them; A is the mobile number. All users of a machine can
    read a command line: with - in place of the fields, a JSON object of them is read from standard input.
    """
    record = _record(fields)
    screen = Screen(quiet, as_json)
    return _ask(
        screen,
        _MESSAGE_IN_DOUBT,
        lambda mobiz: mobiz.trigger(trigger_key, record),
        lambda receipt: _show_receipt(screen, receipt),
    )


@click.command(cls=PlainCommand, short_help="Send one message later.", epilog=_SCHEDULE_EXAMPLE)
@click.argument("trigger_key", metavar="KEY")
@click.argument("fields", metavar="A=NUMBER [B=TEXT ...]", nargs=-1, required=True)
@click.option("--at", "at", metavar="TIME", callback=moment, required=True, help="When: 2026-12-01T08:00+02:00.")
@click.option(
    "--send-time-format",
    type=click.Choice(["unix", "iso8601"]),
    default="unix",
    show_default=True,
    help="How the API is told; its documentation leaves that open.",
)
@json_option
@quiet_option
def schedule(
    trigger_key: str, fields: tuple[str, ...], *, at: datetime, send_time_format: Any, as_json: bool, quiet: bool
) -> int:
    """Send one message at a time to come; otherwise as `mobiz trigger`."""
    record = _record(fields)
    screen = Screen(quiet, as_json)
    return _ask(
        screen,
        _MESSAGE_IN_DOUBT,
        lambda mobiz: mobiz.schedule(trigger_key, record, send_time=at),
        lambda receipt: _show_receipt(screen, receipt),
        send_time_format=send_time_format,
    )


@click.command(cls=PlainCommand, short_help="Create a list.", epilog=_CREATE_LIST_EXAMPLE)
@click.argument("name", metavar="NAME")
@click.argument("fields", metavar="FIELD=FORMAT ...", nargs=-1, required=True)
@json_option
@quiet_option
def create_list(name: str, fields: tuple[str, ...], *, as_json: bool, quiet: bool) -> int:
    """Create a list; the formats are msisdn, text, numeric and email. MOBIZ_USERNAME says whose it is."""
    asked = definition(fields)
    screen = Screen(quiet, as_json)

    def show(made: DataList) -> int:
        _show_pairs(screen, {"created": name, "list id": made.id})
        screen.write_json({"list_id": made.id, "name": name, "definition": asked})
        return delivered() if as_json else 0

    return _ask(screen, f"list {name!r} may have been created", lambda mobiz: mobiz.create_list(name, asked), show)
