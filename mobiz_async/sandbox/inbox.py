"""What the sandbox shows of itself: totals as JSON, and an inbox page for people."""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import attrs
from aiohttp import web

from mobiz_async.models import DataList
from mobiz_async.sandbox.ledger import Ledger, SeenRequest, Stream
from mobiz_async.sandbox.lists import number_field

__all__ = ["page", "summary"]

_SHOWN_REQUESTS = 25
_JSON_REQUESTS = 1_000
_SHOWN_CHARACTERS = 400


class Shown(Protocol):
    """What the pages need of a sandbox."""

    @property
    def requests(self) -> tuple[SeenRequest, ...]: ...
    @property
    def latest(self) -> list[tuple[str, Mapping[str, Any]]]: ...
    def summary(self) -> dict[str, Any]: ...


def summary(ledger: Ledger, lists: Mapping[str, DataList], held: int) -> dict[str, Any]:
    """Return the totals: for each list, for all triggers, for all records and all requests.

    ``distinct`` counts different phone numbers (or identities), ``repeated`` those of them that were applied more than
    once to the same list or under the same trigger key, ``records`` every application.
    """
    streams = ledger.streams
    list_totals = {list_id: _totals(streams.get(("list", list_id), Stream())) for list_id in lists}
    trigger_totals = [_totals(stream) for (kind, _), stream in streams.items() if kind == "trigger"]
    parts = [*list_totals.values(), *trigger_totals]
    return {
        "records": ledger.applied_records,
        **{name: sum(part[name] for part in parts) for name in ("distinct", "repeated")},
        "lists": {
            list_id: {"name": data_list.name, "number_field": number_field(data_list), **list_totals[list_id]}
            for list_id, data_list in lists.items()
        },
        "triggers": {name: sum(part[name] for part in trigger_totals) for name in _TOTALS},
        "requests": {
            "total": ledger.arrived,
            "applied": ledger.applied_requests,
            "early": ledger.early,
            "held": held,
            "faults": {fault.value: count for fault, count in sorted(ledger.faults.items())},
        },
    }


_TOTALS = ("records", "distinct", "repeated", "requests")


def _totals(stream: Stream) -> dict[str, int]:
    distinct, repeated = stream.column.tally()
    return {"records": len(stream.column), "distinct": distinct, "repeated": repeated, "requests": len(stream.runs)}


async def page(path: str, shown: Shown, tallied: Callable[[], Awaitable[None]]) -> web.Response:
    """Return the page or the JSON at one of the sandbox's own paths; 404 for any other.

    ``tallied`` is waited for before a page that has the totals.
    """
    match path:
        case "/" | "/sandbox" | "/sandbox/inbox":
            await tallied()
            policy = "default-src 'none'; style-src 'unsafe-inline'"
            return web.Response(
                text=_inbox(shown), content_type="text/html", headers={"Content-Security-Policy": policy}
            )
        case "/sandbox/summary":
            await tallied()
            return web.json_response(shown.summary())
        case "/sandbox/requests":
            return web.json_response([attrs.asdict(request) for request in shown.requests[-_JSON_REQUESTS:]])
        case _:
            return web.json_response({"statusCode": 404, "message": "Resource not found"}, status=404)


_STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#667085;--line:#e4e7ec;--card:#fff;--page:#f6f7f9}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#98a2b3;--line:#2b323d;--card:#181d25;--page:#10141a}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 20px 60px}h1{font-size:22px;margin:0}
h2{font-size:16px;margin:32px 0 10px}
p{margin:4px 0 0;color:var(--soft)}.tiles{display:flex;flex-wrap:wrap;gap:12px;margin-top:20px}
.tile{flex:1 1 150px;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.tile b{display:block;font-size:24px;font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:13px}
.box{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:8px 14px;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}th{font-weight:600;font-size:13px;color:var(--soft);white-space:nowrap}
td.n,th.n{text-align:right}td.wide{overflow-wrap:anywhere;min-width:240px}
.none{padding:14px;color:var(--soft)}
"""


def _inbox(shown: Shown) -> str:
    totals = shown.summary()
    tiles = (
        ("records applied", totals["records"]),
        ("different numbers", totals["distinct"]),
        ("applied more than once", totals["repeated"]),
        ("requests", totals["requests"]["total"]),
    )
    lists = (
        (list_id, each["name"] or "", *(f"{each[name]:,}" for name in _TOTALS))
        for list_id, each in totals["lists"].items()
    )
    messages = (
        (kind, _shortened("; ".join(f"{field}: {value}" for field, value in record.items())))
        for kind, record in reversed(shown.latest)
    )
    requests = (
        (
            str(seen.number),
            datetime.fromtimestamp(seen.time, UTC).strftime("%H:%M:%S"),
            f"{seen.method} {seen.path}",
            f"{seen.records:,}",
            str(seen.status or "no answer"),
            f"{seen.applied_records:,} applied" if seen.applied else "not applied",
            seen.fault or "",
        )
        for seen in reversed(shown.requests[-_SHOWN_REQUESTS:])
    )
    return "".join(
        (
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
            "<meta http-equiv=refresh content=5><title>Mobiz sandbox</title><style>",
            _STYLE,
            "</style><main><h1>Mobiz sandbox</h1><p>Nothing sent here reaches a phone. This page renews itself.</p>",
            "<div class=tiles>",
            *(f"<div class=tile><b>{count:,}</b><span>{label}</span></div>" for label, count in tiles),
            "</div><h2>Lists</h2>",
            _table(("list id", "name", "records", "numbers", "more than once", "appends"), lists, "No lists yet."),
            "<h2>Latest messages</h2>",
            _table(("by", "content"), messages, "Nothing has arrived yet."),
            "<h2>Latest requests</h2>",
            _table(("no.", "UTC", "request", "records", "status", "result", "fault"), requests, "No requests yet."),
            "</main></html>",
        )
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


_NUMERIC_HEADS = frozenset({"records", "numbers", "more than once", "appends", "no."})


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]], none: str) -> str:
    classes = [" class=n" if head in _NUMERIC_HEADS else " class=wide" if head == "content" else "" for head in heads]
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{html.escape(cell)}</td>" for kind, cell in zip(classes, row, strict=True))
        + "</tr>"
        for row in rows
    )
    if not body:
        return f"<div class='box none'>{none}</div>"
    head = "".join(f"<th{kind}>{text}</th>" for kind, text in zip(classes, heads, strict=True))
    return f"<div class=box><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
