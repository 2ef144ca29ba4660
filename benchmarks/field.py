"""Who takes part: names, titles, and where they are. Nothing heavy is imported before a contender is asked for."""

import importlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple

Run = Callable[[int, int], Awaitable[int]]
"""Records and port to records sent."""


class Contender(NamedTuple):
    name: str
    title: str
    where: str
    """module:function, called with records and port."""
    imports: tuple[str, ...] = ()
    """What to import before the clock starts."""

    def load(self) -> Run:
        for name in self.imports:
            importlib.import_module(name)
        module, _, function = self.where.partition(":")
        run: Run = getattr(importlib.import_module(f"benchmarks.{module}"), function)
        return run


BULK = (
    Contender("naive", "aiohttp, json.dumps, gather", "by_hand:naive"),
    Contender("tuned", "aiohttp, msgspec, bounded", "by_hand:tuned_mappings"),
    Contender("ours", "send_bulk", "ours:default"),
    Contender("checks", "send_bulk, every field checked", "ours:checks"),
    Contender("journal", "send_bulk, SQLiteJournal", "ours:journalled"),
    Contender("both", "send_bulk, checks and journal", "ours:journalled_checks"),
    Contender("everything", "send_bulk, all of it", "ours:everything"),
    Contender("numbers", "send_bulk, bare numbers", "ours:bare_numbers"),
    Contender("attrs", "send_bulk, attrs instances", "ours:attrs_records"),
    Contender("tuned-attrs", "aiohttp, msgspec, attrs instances", "by_hand:tuned_instances"),
)
"""In the order of their turns."""
PEERS = (
    Contender("httpx", "httpx, gather", "peers:httpx_gather", ("httpx",)),
    Contender("requests", "requests, 8 threads", "peers:requests_threads", ("requests",)),
    Contender("elastic", "elasticsearch async_bulk", "peers:elastic_bulk", ("elasticsearch.helpers", "aiohttp")),
    Contender(
        "elastic-orjson",
        "elasticsearch async_bulk, orjson",
        "peers:elastic_bulk_orjson",
        ("elasticsearch.helpers", "elasticsearch.serializer", "aiohttp"),
    ),
)
SINGLES = (
    Contender("single-by-hand", "aiohttp, a POST each", "singles:by_hand"),
    Contender("single", "trigger, a POST each", "singles:triggers"),
    Contender("coalesced", "coalesce", "singles:coalesced"),
)
LIMIT = "limit"
NOISE = "noise"
LIMIT_TITLE = "the limit: make, encode, push"
OURS = ("ours", "checks", "journal", "both", "everything", "numbers", "attrs", "single", "coalesced")
ALL = {contender.name: contender for contender in (*BULK, *PEERS, *SINGLES)}
MEMORY = ("ours", "everything", "tuned", "naive")
"""Whose memory is looked at as the number of records grows."""
