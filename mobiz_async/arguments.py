"""What callers hand to a client, made into what its operations take, or refused before anything is sent."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

from mobiz_async.bulk import BulkRun
from mobiz_async.chunking import Chunker
from mobiz_async.delivery import Deliverer
from mobiz_async.encoding import ENCODING_ERRORS, encode
from mobiz_async.errors import ConfigurationError, InvalidRecordError, Reason
from mobiz_async.journal import MemoryJournal
from mobiz_async.late_optouts import LateOptOuts
from mobiz_async.models import MAX_CHUNK_BYTES, MAX_RECORDS_PER_APPEND, DataList, Secret
from mobiz_async.options import BulkOptions, BulkSettings
from mobiz_async.recipients.intake import Intake
from mobiz_async.recipients.shape import shape_stage
from mobiz_async.recipients.sources import Recipients
from mobiz_async.recipients.stages import Problem
from mobiz_async.reports import EventHook
from mobiz_async.settings import check_callback, has_text
from mobiz_async.unseen import Hidden, hide, unseen
from mobiz_async.wire import Request, append_request

__all__ = [
    "Records",
    "append_chunker",
    "as_list",
    "as_secret",
    "batch_chunker",
    "bulk_run",
    "hooks_of",
    "key_of",
    "one_record",
    "only_chunk",
]

Records = Iterable[Any] | AsyncIterable[Any]


def as_secret(value: str | Secret | None) -> Secret | None:
    """Return a key that no traceback shows."""
    return value if isinstance(value, Secret) or value is None else Secret(value)


def key_of(name: str, given: Secret | None, variable: str) -> Secret:
    """Return the key given, or the one in the environment; raise ``ConfigurationError`` where it cannot be one."""
    found = given if given is not None else Secret(os.environ.get(variable, ""))
    if not found.reveal():
        raise ConfigurationError("is missing", setting=name, variable=variable)
    if not isinstance(found.reveal(), str):
        raise ConfigurationError("is no text", setting=name, variable=variable)
    if not found.reveal().isprintable() or found.reveal() != found.reveal().strip():
        raise ConfigurationError("has white space around it or a line break in it", setting=name, variable=variable)
    return found


def hooks_of(events: Iterable[EventHook]) -> Sequence[EventHook]:
    """Return the event hooks; raise ``ConfigurationError`` for one that nobody could just call."""
    hooks = tuple(events)
    for hook in hooks:
        check_callback("events", hook)
    return hooks


def as_list(contacts: DataList | str | int) -> DataList:
    """Return a list by its id, or the list itself."""
    made = contacts if isinstance(contacts, DataList) else DataList(contacts)
    if not has_text(made.id):
        raise ConfigurationError("the list id is empty, or no text")
    return made


def _intake_of(contacts: DataList, records: Records, asked: BulkOptions) -> Intake:
    """Return what is done to the records of a run, or of one append, before they go."""
    return Intake(
        number_field=contacts.number_field or "Number" if asked.number_field is None else asked.number_field,
        common=asked.common,
        rename=asked.rename,
        region=asked.region,
        mobile_only=asked.mobile_only,
        definition=contacts.definition,
        suppress=asked.suppress,
        dedupe=asked.dedupe,
        in_place=isinstance(records, Recipients),
    )


_shape_one = shape_stage(None)


def one_record(held: Hidden[Any]) -> bytes:
    """Take the one object of a trigger out of ``held`` and return it encoded; raise ``InvalidRecordError``."""
    fields = next(held)
    if type(fields) is dict:
        # The common case at a fraction of the cost: a join refuses whatever is not text.
        try:
            "".join(fields)
            "".join(fields.values())
            return encode(fields)
        except ENCODING_ERRORS:
            pass  # what is wrong with it, or whether anything is, is found out below
    shape = hide(partial(_shape_one, [fields], range(1, 2)))
    del fields  # an exception carries this frame, and error trackers print its locals
    staged = unseen(shape)  # an object may have code of its own, which may raise anything
    reason, field = Reason.NOT_ENCODABLE, None
    if staged.problems:
        reason, field = staged.problems[0].reason, staged.problems[0].field
    else:
        with contextlib.suppress(*ENCODING_ERRORS):
            return encode(staged.records[0])
    del staged  # as above
    raise InvalidRecordError(1, field, reason)


def batch_chunker(rows: Records, batch_size: int) -> Chunker:
    """Return what makes batches of triggers of ``rows``; the first that cannot be sent ends it."""
    return Chunker(rows, shape_stage(None), chunk_size=batch_size, max_bytes=MAX_CHUNK_BYTES, on_problems=_raise_first)


def bulk_run(
    contacts: DataList | str | int,
    records: Records,
    options: BulkSettings,
    deliverer: Deliverer,
    concurrency: int,
    under_way: Callable[[bool], None],
) -> BulkRun:
    """Return a bulk run, ``concurrency`` chunks at once where its options do not say how many."""
    asked = BulkOptions(**options)
    target = as_list(contacts)
    intake = _intake_of(target, records, asked)
    identity = asked.identity(target.id, intake.fingerprints())
    chunker = partial(_bulk_chunker, records, intake, asked)
    journal = asked.journal if asked.journal is not None else MemoryJournal(resumable=False)
    return BulkRun(deliverer, target.id, chunker, journal, identity, asked, asked.concurrency or concurrency, under_way)


def _bulk_chunker(
    records: Records,
    intake: Intake,
    asked: BulkOptions,
    *,
    on_problems: Callable[[list[Problem]], None],
    late: LateOptOuts,
) -> Chunker:
    """Return what makes the chunks of a bulk run."""
    most = asked.max_chunk_bytes
    return Chunker(
        records,
        intake.stage(most, late.sparing),
        chunk_size=asked.chunk_size,
        max_bytes=most,
        on_problems=on_problems,
        most_of=late.most_of,
    )


def append_chunker(contacts: DataList, rows: Records, number_field: str | None) -> Chunker:
    """Return what makes one request of ``rows``, whatever their size; the first that cannot be sent ends it."""
    return Chunker(
        rows,
        _intake_of(contacts, rows, BulkOptions(number_field=number_field)).stage(),
        chunk_size=MAX_RECORDS_PER_APPEND,
        max_bytes=1 << 40,
        on_problems=_raise_first,
    )


async def only_chunk(chunker: Chunker, list_id: str) -> Request | None:
    """Return the request for all that ``chunker`` reads, None where that is nothing; it must not be more than one.

    What raises finds no chunk in this frame: some show what a line of it names, such as a body.
    """
    chunk = request = None
    try:
        chunk = await chunker.next()
        if chunk is not None:
            request = append_request(list_id, chunk.body, chunk.count)
            chunk = await chunker.next()
    except asyncio.CancelledError as error:
        chunk = request = None
        raise error.with_traceback(None)  # noqa: B904  it is the same one, without the frames that were reading
    finally:
        await chunker.aclose()
    too_many, chunk = chunk is not None, None
    if chunker.error is not None:
        raise chunker.error
    if too_many:
        raise ConfigurationError("append takes at most 10,000 records; send_bulk takes any number")
    return request


def _raise_first(problems: list[Problem]) -> None:
    raise problems[0].error()
