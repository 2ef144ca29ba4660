"""A run asks its journal so that nobody's journal has to be perfect: calls end, failures are its own, nothing shows."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from mobiz_async.errors import JournalError
from mobiz_async.journal import ChunkState, Event, Intent, MemoryJournal, Part, Recalled, Settlement, SQLiteJournal
from mobiz_async.journal.guarded import Guarded
from mobiz_async.testing.journal_contract.contract import BODY, IDENTITY, intent, parts_of, settlement

NUMBER = "27829998877"


class DriverError(Exception):
    """What a database's driver raises, with the row that it is about."""


class Slow(MemoryJournal):
    """A journal whose writes wait in the middle until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.let_go = asyncio.Event()

    async def _wait(self) -> None:
        self.begun.set()
        await self.let_go.wait()

    async def open(self, identity: Mapping[str, str] | None) -> bool:
        await self._wait()
        return await super().open(identity)

    async def intend(self, intent: Intent) -> None:
        await self._wait()
        await super().intend(intent)


class Raising(MemoryJournal):
    """A journal that raises whatever it is told to."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    async def open(self, identity: Mapping[str, str] | None) -> bool:
        raise self._error

    async def recall(self, index: int, body: bytes | bytearray) -> Recalled | None:
        raise self._error

    async def settle(self, settlement: Settlement) -> bool:
        raise self._error

    async def parts(self, *states: ChunkState) -> AsyncIterator[Part]:
        raise self._error
        yield


ASKED: dict[str, Any] = {
    "open": lambda journal: journal.open(IDENTITY),
    "recall": lambda journal: journal.recall(0, BODY),
    "settle": lambda journal: journal.settle(settlement(Event.ACCEPT)),
    "parts": parts_of,
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
async def test_what_a_driver_raises_becomes_a_journal_error_without_the_row_that_it_names(ask) -> None:
    journal = Guarded(Raising(DriverError(f"Failing row contains ({NUMBER})")))

    with pytest.raises(JournalError) as caught:
        await ask(journal)

    shown = "".join(traceback.format_exception(caught.value))
    assert (str(caught.value), NUMBER in shown) == ("the journal raised DriverError", False)


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
async def test_what_the_journal_says_itself_is_passed_on(ask) -> None:
    error = JournalError("the table is gone")

    with pytest.raises(JournalError) as caught:
        await ask(Guarded(Raising(error)))

    assert caught.value is error


async def test_a_journal_whose_own_connection_is_cancelled_has_failed_and_nobody_is_cancelled() -> None:
    journal = Guarded(Raising(asyncio.CancelledError()))

    with pytest.raises(JournalError, match="cancelled while it worked"):
        await journal.settle(settlement(Event.ACCEPT))


async def test_a_write_that_was_begun_ends_before_the_cancellation_goes_on() -> None:
    slow = Slow()
    slow.let_go.set()
    journal = Guarded(slow)
    await journal.open(IDENTITY)
    slow.begun.clear()
    slow.let_go.clear()
    writing = asyncio.create_task(journal.intend(intent()))
    await slow.begun.wait()

    for _ in range(2):
        writing.cancel()
        await asyncio.sleep(0)
    before = writing.done()
    slow.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await writing

    assert (before, [part.state for part in await parts_of(journal)]) == (False, [ChunkState.INTENDED])


async def test_an_opening_that_is_cancelled_leaves_the_journal_to_others() -> None:
    slow = Slow()
    opening = asyncio.create_task(Guarded(slow).open(IDENTITY))
    await slow.begun.wait()

    opening.cancel()
    slow.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await opening

    assert await slow.open(IDENTITY) is False


async def test_an_opening_that_is_cancelled_and_fails_is_cancelled() -> None:
    class Refusing(Slow):
        async def open(self, identity: Mapping[str, str] | None) -> bool:
            await self._wait()
            raise JournalError("it is in use")

    refusing = Refusing()
    opening = asyncio.create_task(Guarded(refusing).open(IDENTITY))
    await refusing.begun.wait()

    opening.cancel()
    refusing.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await opening


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_no_frame_of_a_failure_holds_the_records_that_it_was_asked_about(kind, tmp_path) -> None:
    inner = MemoryJournal() if kind == "memory" else SQLiteJournal(tmp_path / "run.journal")
    journal = Guarded(inner)
    body = f'[{{"Number":"{NUMBER}"}}]'.encode()
    await journal.open(IDENTITY)
    await journal.intend(intent(count=1, body=body))
    broken = b'[{"Number":"' + NUMBER.encode()  # of which there is nothing to compare: it is no JSON

    with pytest.raises(JournalError) as caught:
        await journal.recall(0, broken)

    trace, frames = caught.value.__traceback__, []
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    ours = [frame for frame in frames if frame.f_code.co_filename != __file__]
    assert ours
    assert [frame.f_code.co_qualname for frame in ours if NUMBER in repr(frame.f_locals)] == []
    await journal.close()


async def test_one_failure_told_to_several_who_wait_ends_none_of_them() -> None:
    """Its frames are those of all of them: to empty them would end who has been told and does something about it."""
    shared = JournalError("the journal failed earlier")
    journal = Guarded(Raising(shared))
    told = asyncio.Event()

    async def first() -> str:
        try:
            await journal.settle(settlement(Event.ACCEPT))
        except JournalError:
            await told.wait()
        return "went on"

    waiting = asyncio.create_task(first())
    for _ in range(5):
        await asyncio.sleep(0)
    with pytest.raises(JournalError):
        await journal.recall(0, BODY)
    told.set()

    assert await waiting == "went on"
