"""Standard input, read by a thread of its own."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import Any

import pytest

from mobiz_async.cli.piped import Piped
from mobiz_async.recipients.files import SourceFileError
from mobiz_async.recipients.sources import open_recipients


def test_standard_input_without_a_descriptor_is_read_all_the_same(cli, served, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Number\n27821234567\n")))
    ended = cli("send", "-", "--list", 1)

    assert (ended.code, served.sandbox.applied("1")) == (0, {"27821234567": 1})
    assert ended.out.startswith("\nstandard input to list 1\n")


def test_standard_input_can_be_looked_at_first(cli, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Number\n27821234567\n")))

    assert "  1  would go" in cli("send", "-", "--dry-run").out


@pytest.mark.parametrize("content", [b"Cell\n27821234567\n", b"Number,Number\n"])
def test_a_header_that_is_wrong_is_told_before_anything_is_sent(cli, served, monkeypatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    ended = cli("send", "-", "--list", 1)

    assert (ended.code, ended.out, ended.err.count("\n"), served.sandbox.requests) == (2, "", 1, ())


async def test_records_before_a_fault_are_handed_over() -> None:
    def opened() -> Any:
        return open_recipients(io.BytesIO(b"Number\n" + b"27821234567\n" * 400 + b"\xff\n"))

    piped = Piped(opened)
    records = piped.records(await piped.recipients())
    read = [await anext(records) for _ in range(400)]
    with pytest.raises(SourceFileError, match="record 401"):
        await anext(records)
    piped.close()

    assert read == [{"Number": "27821234567"}] * 400


async def test_the_loop_goes_on_while_the_pipe_is_silent() -> None:
    said = threading.Event()

    def opened() -> Any:
        said.wait()
        return open_recipients(io.BytesIO(b"Number\n"))

    piped = Piped(opened)
    opening = asyncio.create_task(piped.recipients())
    await asyncio.sleep(0)
    waiting = not opening.done()
    said.set()
    recipients = await opening
    piped.close()

    assert (waiting, recipients.fields) == (True, ("Number",))


async def test_an_answer_that_nobody_waits_for_any_more_is_dropped() -> None:
    said, asked = threading.Event(), threading.Event()

    def opened() -> Any:
        asked.set()
        said.wait()
        raise SourceFileError("standard input", "broken")

    piped = Piped(opened)
    opening = asyncio.create_task(piped.recipients())
    await asyncio.to_thread(asked.wait)
    opening.cancel()
    await asyncio.wait([opening])
    said.set()
    with pytest.raises(SourceFileError):
        await piped.recipients()
    piped.close()

    assert opening.cancelled()


def test_a_thread_that_outlives_its_loop_ends() -> None:
    said = threading.Event()
    threads: list[threading.Thread] = []

    async def main() -> None:
        before = set(threading.enumerate())
        piped = Piped(lambda: said.wait() and None)  # type: ignore[arg-type,return-value]  # nobody sees its answer
        threads.extend(set(threading.enumerate()) - before)
        opening = asyncio.create_task(piped.recipients())
        await asyncio.sleep(0)
        opening.cancel()

    asyncio.run(main())
    said.set()
    threads[0].join(10)

    assert not threads[0].is_alive()
