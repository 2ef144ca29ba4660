"""Any iterable into encoded chunks: limits, order, what is held back, what becomes of sources."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fakes import numbers, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from mobiz_async import chunking, slicing
from mobiz_async.chunking import Chunk, Chunker
from mobiz_async.errors import InvalidRecordError, Reason, SourceError
from mobiz_async.recipients.shape import shape_stage
from mobiz_async.recipients.stages import LARGEST_SLICE, Problem
from mobiz_async.slicing import Slices


def chunker(source: Any, *, size: int = 10_000, most: int = 1 << 22, **more: Any) -> tuple[Chunker, list[Problem]]:
    held: list[Problem] = []
    return Chunker(
        source, shape_stage("Number"), chunk_size=size, max_bytes=most, on_problems=held.extend, **more
    ), held


async def drained(source: Any, **limits: Any) -> tuple[list[Chunk], list[Problem]]:
    reader, held = chunker(source, **limits)
    chunks = []
    while (chunk := await reader.next()) is not None:
        chunks.append(chunk)
    return chunks, held


def sent(chunks: list[Chunk]) -> list[Any]:
    return [record for chunk in chunks for record in json.loads(bytes(chunk.body))]


async def agen(items: Any) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


@pytest.mark.parametrize("source", [list, tuple, iter, agen, lambda items: (item for item in items)])
async def test_every_kind_of_iterable_is_read(source: Any) -> None:
    records = rows(25)

    chunks, _ = await drained(source(records), size=10)

    assert records == sent(chunks)
    assert [(c.index, c.first_record, c.count) for c in chunks] == [(0, 1, 10), (1, 11, 10), (2, 21, 5)]


@pytest.mark.parametrize("count", [0, 1, 249, 250, 251, 500, 1000, 1001])
async def test_chunks_are_filled_whatever_the_slices(count: int) -> None:
    chunks, _ = await drained(rows(count), size=500)

    assert [min(500, count - start) for start in range(0, count, 500)] == [chunk.count for chunk in chunks]
    assert sent(chunks) == rows(count)


async def test_a_chunk_never_exceeds_its_bytes_and_fills_them() -> None:
    one = len(json.dumps(rows(1)[0], separators=(",", ":")))
    most = 10 * (one + 1) + 1

    chunks, held = await drained(rows(35), most=most)

    assert ([10, 10, 10, 5], [most] * 3) == ([c.count for c in chunks], [len(c.body) for c in chunks[:3]])
    assert held == []


async def test_a_byte_less_holds_a_record_less() -> None:
    one = len(json.dumps(rows(1)[0], separators=(",", ":")))

    chunks, _ = await drained(rows(35), most=10 * (one + 1))

    assert [chunk.count for chunk in chunks] == [9, 9, 9, 8]


async def test_a_record_larger_than_a_chunk_is_held_back_and_the_rest_goes() -> None:
    records = rows(5)
    records[2]["Message"] = "x" * 200

    chunks, held = await drained(records, most=150)

    assert [(one.row, one.field, one.reason) for one in held] == [(3, None, Reason.TOO_LARGE)]
    assert sent(chunks) == [*records[:2], *records[3:]]


async def test_a_record_that_fits_exactly_goes() -> None:
    record = {"Number": "27821234567"}
    exact = len(b"[]") + len(json.dumps(record, separators=(",", ":")))

    assert [chunk.count for chunk in (await drained([record], most=exact))[0]] == [1]
    assert [one.reason for one in (await drained([record], most=exact - 1))[1]] == [Reason.TOO_LARGE]


async def test_a_record_that_cannot_be_encoded_is_held_back_and_the_rest_goes() -> None:
    records = rows(5)
    records[2]["Message"] = "\ud83d"

    chunks, held = await drained(records)

    assert [(one.row, one.reason) for one in held] == [(3, Reason.NOT_ENCODABLE)]
    assert sent(chunks) == [*records[:2], *records[3:]]


async def test_rows_are_those_of_the_source_even_where_records_were_held_back() -> None:
    records: list[Any] = rows(8)
    records[1] = records[4] = None

    chunks, held = await drained(records, size=4)

    assert [chunk.rows for chunk in chunks] == [((1, 1), (3, 2), (6, 1)), ((7, 2),)]
    assert ([chunk.first_record for chunk in chunks], [one.row for one in held]) == ([1, 7], [2, 5])


async def test_nothing_but_bad_records_is_no_chunk() -> None:
    chunks, held = await drained([None] * 600)

    assert (chunks, len(held)) == ([], 600)


async def test_an_empty_source_is_no_chunk() -> None:
    assert await drained([]) == ([], [])


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 60), max_size=40),
    st.integers(1, 7),
    st.integers(40, 200),
    st.sampled_from([list, agen]),
)
def test_the_chunks_of_a_source_depend_on_nothing_but_its_records(lengths, size: int, most: int, kind) -> None:
    """Greedy: the same records fall into the same chunks, however the source hands them over and the slices fall."""
    records = [{"Number": number, "M": "x" * length} for number, length in zip(numbers(99), lengths, strict=False)]
    written = [json.dumps(record, separators=(",", ":")).encode() for record in records]
    expected: list[list[bytes]] = []
    for one in written:
        if len(one) + 2 > most:
            continue
        if (
            not expected
            or len(expected[-1]) == size
            or sum(map(len, expected[-1])) + len(expected[-1]) + len(one) + 2 > most
        ):
            expected.append([])
        expected[-1].append(one)

    for held_for in (0.0, 1.0):
        timer = itertools.count(step=held_for).__next__
        chunks, _ = asyncio.run(drained(kind(records), size=size, most=most, timer=timer))

        assert [b"[" + b",".join(one) + b"]" for one in expected] == [bytes(chunk.body) for chunk in chunks]


BAD: tuple[Any, ...] = (None, {"Number": "\ud83d"}, {"Number": "27", "M": "x" * 300})


@settings(max_examples=120)
@given(
    st.lists(st.integers(0, 60), max_size=30),
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(BAD)), min_size=1, max_size=3),
    st.integers(1, 7),
    st.integers(40, 200),
    st.integers(1, 40),
    st.sampled_from([list, agen]),
)
def test_a_record_that_is_refused_ends_the_chunks_where_it_stands(lengths, bad, size, most, sliced, kind) -> None:
    """What was full before the first of them is handed out; nothing is lost of the rest, and no slice shows."""
    good = [{"Number": number, "M": "x" * length} for number, length in zip(numbers(99), lengths, strict=False)]
    good = [record for record in good if len(json.dumps(record, separators=(",", ":"))) + 2 <= most]
    records: list[Any] = list(good)
    for place, record in bad:
        records.insert(place, record)
    first = next(place for place, record in enumerate(records) if record not in good)

    async def read() -> tuple[list[Chunk], InvalidRecordError, list[Chunk]]:
        reader = Chunker(kind(records), shape_stage("Number"), chunk_size=size, max_bytes=most, on_problems=refuse)
        reader._slices._size = sliced
        reader._slices.held = lambda seconds: None  # type: ignore[method-assign]  # what the clock decides otherwise
        chunks = []
        try:
            while (chunk := await reader.next()) is not None:
                chunks.append(chunk)
        except InvalidRecordError as error:
            rest = reader.rest()
            assert sent([*chunks, *rest]) == [record for record in records[: reader.read] if record in good]
            return chunks, error, rest
        raise AssertionError("nothing was refused")

    chunks, error, rest = asyncio.run(read())
    full, _ = asyncio.run(drained(records[:first], size=size, most=most))
    open_ = len(full[-1:]) and full[-1].count < size  # of the last one only the end of the source says that it is full

    assert (error.row, sent(chunks)) == (first + 1, sent(full[:-1] if open_ else full))
    assert [chunk.index for chunk in [*chunks, *rest]] == [*range(len(chunks) + len(rest))]


def refuse(problems: list[Problem]) -> None:
    raise problems[0].error()


# Sources that misbehave


def raising_after(count: int, error: BaseException) -> Iterator[Any]:
    yield from rows(count)
    raise error


async def test_a_source_that_raises_ends_at_its_row_and_the_open_chunk_stays_unsent() -> None:
    error = ValueError("27821234567")
    reader, _ = chunker(raising_after(25, error), size=10)

    chunks = [await reader.next(), await reader.next(), await reader.next()]

    assert [chunk and chunk.count for chunk in chunks] == [10, 10, None]
    assert isinstance(reader.error, SourceError)
    assert (26, "ValueError", error, 25) == (reader.error.row, reader.error.kind, reader.error.__cause__, reader.read)
    assert "27821234567" not in str(reader.error)
    assert await reader.next() is None


async def test_an_async_source_that_raises_ends_at_its_row() -> None:
    async def source() -> AsyncIterator[Any]:
        for record in rows(3):
            yield record
        raise LookupError

    reader, _ = chunker(source())

    assert await reader.next() is None
    assert reader.error is not None
    assert (reader.error.row, reader.read) == (4, 3)


async def test_records_taken_before_the_reader_was_cancelled_are_counted_as_read() -> None:
    reached = asyncio.Event()

    async def source() -> AsyncIterator[Any]:
        for record in rows(3):
            yield record
        reached.set()
        await asyncio.Event().wait()

    reader, _ = chunker(source())
    task = asyncio.create_task(reader.next())
    await reached.wait()
    task.cancel()
    await asyncio.wait([task])

    assert reader.read == 3


@pytest.mark.parametrize("source", ["27821234567", b"2782", bytearray(b"2782"), {"Number": "27821234567"}, 5, None])
def test_what_is_no_iterable_of_records_is_refused(source: Any) -> None:
    with pytest.raises(TypeError, match="records must be an iterable"):
        Slices(source)


async def test_a_generator_is_closed_before_its_end() -> None:
    closed = []

    def source() -> Iterator[Any]:
        try:
            yield from rows(1000)
        finally:
            closed.append(True)

    reader, _ = chunker(source(), size=10)
    await reader.next()
    await reader.aclose()

    assert closed == [True]


async def test_an_async_generator_is_closed_before_its_end() -> None:
    closed = []

    async def source() -> AsyncIterator[Any]:
        try:
            for record in rows(1000):
                yield record
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    reader, _ = chunker(source(), size=10)
    await reader.next()
    await reader.aclose()

    assert closed == [True]


async def test_what_the_caller_opened_the_caller_closes() -> None:
    """A file or a cursor is an iterator with ``close``, and not ours."""

    class Cursor:
        closed = False

        def __iter__(self) -> Cursor:
            return self

        def __next__(self) -> Any:
            return {"Number": "27821234567"}

        def close(self) -> None:
            self.closed = True

    cursor = Cursor()
    reader, _ = chunker(cursor, size=10)
    await reader.next()
    await reader.aclose()

    assert not cursor.closed


async def test_a_plain_iterable_needs_no_closing() -> None:
    reader, _ = chunker(rows(3))

    assert await reader.aclose() is None


async def test_what_is_raised_about_a_record_ends_the_reading() -> None:
    reader = Chunker([None], shape_stage("Number"), chunk_size=1, max_bytes=100, on_problems=refuse)

    with pytest.raises(Exception, match="record 1"):
        await reader.next()


# The loop


async def at_once(items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


@pytest.mark.parametrize("source", [list, at_once])
async def test_the_loop_is_let_go_between_slices(source: Any) -> None:
    """However fast the records come, also from an async source that never waits, other tasks get their turns."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    reader, _ = chunker(source(rows(10_000)), timer=itertools.count(step=0.0002).__next__)
    task = asyncio.create_task(other())
    await reader.next()
    task.cancel()

    assert turns >= 5


async def test_slices_shrink_while_they_take_long_and_grow_again() -> None:
    sizes: list[int] = []

    async def sized(seconds: float, times: int) -> None:
        for _ in range(times):
            sizes.append(len(await slices.next(10_000)))
            slices.held(seconds)

    slices = Slices(itertools.repeat("x"))
    await sized(1.0, 10)
    assert sizes[-1] == 1
    await sized(0.0, 10)

    assert (sizes[0], sizes[-1]) == (LARGEST_SLICE, LARGEST_SLICE)


@pytest.mark.parametrize(
    ("is_async", "shrink"),
    [
        pytest.param(False, True, id="a source that computes holds the loop"),
        pytest.param(True, False, id="one that waits does not"),
    ],
)
async def test_slices_shrink_for_what_holds_the_loop(
    monkeypatch: pytest.MonkeyPatch, is_async: bool, shrink: bool
) -> None:
    now = 0.0
    sizes: list[int] = []

    def slow() -> Iterator[Any]:
        nonlocal now
        for record in rows(2_000):
            now += 0.001
            yield record

    class Sized(Slices):
        async def next(self, room: int) -> list[Any]:
            sizes.append(len(taken := await super().next(room)))
            return taken

    monkeypatch.setattr(chunking, "Slices", Sized)
    source = at_once(slow()) if is_async else slow()
    reader, _ = chunker(source, timer=lambda: now)
    while await reader.next() is not None:
        pass

    assert (sizes[0], 1 in sizes) == (LARGEST_SLICE, shrink)


async def test_an_async_source_is_asked_for_no_more_than_there_is_room_for() -> None:
    """It may keep us waiting for the next one, while a full chunk could go."""
    asked = 0

    async def source() -> AsyncIterator[Any]:
        nonlocal asked
        for record in rows(1_000):
            asked += 1
            yield record

    reader, _ = chunker(source(), size=10)
    seen = []
    for _ in range(3):
        await reader.next()
        seen.append(asked)

    assert seen == [10, 20, 30]


async def test_what_a_slow_source_gave_is_looked_at_before_a_slice_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad record is told of when it comes, and not when a slice is full."""
    monkeypatch.setattr(slicing, "LONGEST_HOLD", 0.0)
    told = asyncio.Event()

    async def source() -> AsyncIterator[Any]:
        for _ in range(5):
            await asyncio.sleep(0)
        yield None
        await asyncio.Event().wait()

    reader = Chunker(source(), shape_stage("Number"), chunk_size=1_000, max_bytes=100, on_problems=lambda _: told.set())
    task = asyncio.create_task(reader.next())
    await asyncio.wait_for(told.wait(), 10)
    task.cancel()
    await asyncio.wait([task])

    assert reader.read == 1


async def test_a_fast_async_source_fills_its_slices() -> None:
    slices = Slices(at_once(rows(1_000)))

    assert [len(await slices.next(10_000)) for _ in range(2)] == [LARGEST_SLICE, LARGEST_SLICE]


async def test_records_that_come_and_go_have_python_look_for_no_cycles() -> None:
    """It looks at 700 objects more than before: not for a slice, the lists it is in, and what is made of them."""
    looks = 0

    def count(phase: str, _info: dict[str, int]) -> None:
        nonlocal looks
        looks += phase == "start"

    reader, _ = chunker({"Number": f"2782{number:07}", "Message": "Hi"} for number in range(50_000))
    gc.collect()
    gc.callbacks.append(count)
    try:
        while await reader.next() is not None:
            pass
    finally:
        gc.callbacks.remove(count)

    assert looks <= 1


def test_a_chunk_shows_no_record() -> None:
    assert "2782" not in repr(Chunk(0, 1, ((1, 1),), bytearray(b'["27821234567"]')))
