"""`MobizClient`, as a user would call it."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Unpack

from benchmarks.work import DEFINITION, IN_FLIGHT, LIST_ID, MESSAGE, instances, mappings, numbers
from mobiz_async import DataList, MobizClient, SQLiteJournal
from mobiz_async.options import BulkSettings

_CHECKED = DataList(LIST_ID, "Benchmark", DEFINITION)


def client(port: int) -> MobizClient:
    return MobizClient("k", "s", base_url=f"http://127.0.0.1:{port}", concurrency=IN_FLIGHT)


@contextlib.contextmanager
def journal() -> Iterator[SQLiteJournal]:
    with tempfile.TemporaryDirectory() as folder:
        yield SQLiteJournal(Path(folder) / "journal.db")


async def _send(port: int, contacts: DataList | str, records: Iterable[Any], **options: Unpack[BulkSettings]) -> int:
    async with client(port) as mobiz:
        report = await mobiz.send_bulk(contacts, records, **options)
    assert report.ok, report
    return report.accepted


async def default(count: int, port: int) -> int:
    return await _send(port, LIST_ID, mappings(count))


async def attrs_records(count: int, port: int) -> int:
    return await _send(port, LIST_ID, instances(count))


async def bare_numbers(count: int, port: int) -> int:
    return await _send(port, LIST_ID, numbers(count), common={"Message": MESSAGE})


async def checks(count: int, port: int) -> int:
    return await _send(port, _CHECKED, mappings(count))


async def journalled(count: int, port: int) -> int:
    with journal() as kept:
        return await _send(port, LIST_ID, mappings(count), journal=kept)


async def journalled_checks(count: int, port: int) -> int:
    with journal() as kept:
        return await _send(port, _CHECKED, mappings(count), journal=kept)


async def everything(count: int, port: int) -> int:
    with journal() as kept:
        return await _send(
            port, _CHECKED, mappings(count), journal=kept, region="ZA", dedupe="Number", progress=lambda _: None
        )
