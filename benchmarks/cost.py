"""What a record and a chunk cost, counted and not timed: the same on a busy machine as on a quiet one.

    python -m benchmarks.cost                            counts of all scenarios, as JSON
    python -m benchmarks.cost SCENARIO [--records N]     sends once, to be run under an instruction counter

Records go through everything but the network: the checks of their shape, chunking, pacing, verdicts, the books. Nothing
in it depends on the time of day, a random number or the order of a set. ``benchmarks.guard`` compares what it prints.
"""

import itertools
import time

_LOOK = 2.0**-13
_looks = itertools.count()


def _ticks() -> float:
    """Stand in for the clock: an eighth of a millisecond goes by between one look and the next, without rounding."""
    return next(_looks) * _LOOK


# Slices adapt to the time they take. Whoever asks for that clock from here on gets one that cannot be disturbed.
time.perf_counter = _ticks

import argparse  # noqa: E402  after the clock was replaced
import asyncio  # noqa: E402
import gc  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from collections.abc import Awaitable, Callable  # noqa: E402
from functools import cache  # noqa: E402
from pathlib import Path  # noqa: E402
from types import CodeType, FrameType  # noqa: E402
from typing import Any  # noqa: E402

import msgspec  # noqa: E402
import tenacity  # noqa: E402

from benchmarks.work import DEFINITION, LIST_ID, MESSAGE, batches, instances, mappings, numbers  # noqa: E402
from mobiz_async import DataList, MobizClient  # noqa: E402
from mobiz_async.transport import OnStage  # noqa: E402
from mobiz_async.verdicts import Attempt, Stage  # noqa: E402
from mobiz_async.wire import Reply, Request  # noqa: E402

_APPENDED = Reply(200, {"content-type": "application/json"}, b'{"status": 1, "message": "Data Appended"}')
_MESSAGE = b'{"Message_Id": "m", "Status": "SUBMITTED"}'
_TRIGGERED = b'{"Message_Status": [%s], "Reference": "r", "Result_Code": 3, "Result_Description": "Accepted"}'


class Acceptance:
    """A transport without a network, which accepts everything at once."""

    async def post(self, request: Request, on_stage: OnStage) -> Attempt:
        for stage in (Stage.CONNECTING, Stage.SENDING, Stage.SENT):
            on_stage(stage)
        await asyncio.sleep(0)
        if not request.operation.is_trigger:
            return Attempt(Stage.SENT, _APPENDED)
        return Attempt(Stage.SENT, Reply(200, {}, _TRIGGERED % b",".join([_MESSAGE] * request.records)))

    async def aclose(self) -> None:
        return


class StillClock:
    """Time that stands still."""

    def monotonic(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 1_700_000_000.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0 if seconds <= 0 else 3600)


def _client() -> MobizClient:
    return MobizClient(transport=Acceptance(), clock=StillClock())


async def _bulk(contacts: DataList | str, records: list[Any], chunk_size: int, **options: Any) -> None:
    async with _client() as mobiz:
        report = await mobiz.send_bulk(contacts, records, chunk_size=chunk_size, **options)
    assert report.accepted == len(records), report


async def _trigger(rows: list[Any], _: int) -> None:
    async with _client() as mobiz:
        for row in rows:
            await mobiz.trigger("key", row)


async def _coalesce(rows: list[Any], _: int) -> None:
    # The loop's clock is the machine's: batches leave because they are full, however long that takes.
    async with _client() as mobiz, mobiz.coalesce("key", max_batch=100, max_wait=60.0) as queue:
        for batch in batches(rows, 100):
            await asyncio.gather(*map(queue.send, batch))


async def _nothing(_: list[Any], __: int) -> None:
    return


async def _encode(records: list[Any], chunk_size: int) -> None:
    encode = msgspec.json.Encoder().encode
    for batch in batches(records, chunk_size):
        encode(batch)


_CHECKED = DataList(LIST_ID, "Benchmark", DEFINITION)

SCENARIOS: dict[str, tuple[Callable[[int], Any], Callable[[list[Any], int], Awaitable[None]]]] = {
    "mappings": (mappings, lambda records, size: _bulk(LIST_ID, records, size)),
    "instances": (instances, lambda records, size: _bulk(LIST_ID, records, size)),
    "numbers": (numbers, lambda records, size: _bulk(LIST_ID, records, size, common={"Message": MESSAGE})),
    "checks": (mappings, lambda records, size: _bulk(_CHECKED, records, size)),
    "trigger": (mappings, _trigger),
    "coalesce": (mappings, _coalesce),
    "encode": (mappings, _encode),
    "make": (mappings, _nothing),
    "make-instances": (instances, _nothing),
    "make-numbers": (numbers, _nothing),
}
"""What is sent, and how. ``encode`` is the yardstick, what any client has to do; the rest only make the records."""
SENT = ("mappings", "instances", "numbers", "checks", "trigger", "coalesce")


_FOREIGN = tuple(str(Path(str(module.__file__)).parent) for module in (asyncio, tenacity))


@cache
def _counts(code: CodeType) -> bool:
    """Say whether to count what ``code`` does. A new release of asyncio or tenacity is not to move our figures."""
    return not code.co_filename.startswith(_FOREIGN)


class Counter:
    """Counts bytecode instructions and calls, of Python functions and of C functions called by them."""

    def __init__(self) -> None:
        self.opcodes = 0
        self.calls = 0

    def __enter__(self) -> None:
        _watch_opcodes(self._opcode)
        sys.setprofile(self._profile)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        _watch_opcodes(None)

    def _opcode(self) -> None:
        self.opcodes += 1

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        if event in {"call", "c_call"} and _counts(frame.f_code):
            self.calls += 1


def _watch_opcodes(note: Callable[[], None] | None) -> None:
    """Call ``note`` at each bytecode instruction of this thread; None: no longer."""
    if sys.version_info >= (3, 12):
        monitoring, tool = sys.monitoring, sys.monitoring.PROFILER_ID
        if note is None:
            monitoring.set_events(tool, monitoring.events.NO_EVENTS)
            monitoring.free_tool_id(tool)
            return

        def at_instruction(code: CodeType, _: int) -> object:
            if not _counts(code):
                return monitoring.DISABLE
            note()
            return None

        monitoring.use_tool_id(tool, "benchmarks")
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, at_instruction)
        monitoring.set_events(tool, monitoring.events.INSTRUCTION)
        return

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not _counts(frame.f_code):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode" and note is not None:
            note()
        return trace

    sys.settrace(trace if note is not None else None)


def run(scenario: str, records: int, chunk_size: int) -> None:
    """Send once, uncounted: for those who count from outside."""
    make, job = SCENARIOS[scenario]
    prepared = list(make(records))

    async def uncounted() -> None:
        await job(prepared, chunk_size)

    asyncio.run(uncounted())


def count(scenario: str, records: int, chunk_size: int) -> Counter:
    """Count what it takes to send so many records, the start and the end of a run included."""
    make, job = SCENARIOS[scenario]
    prepared = list(make(records))
    counter = Counter()

    async def counted() -> None:
        with counter:
            await job(prepared, chunk_size)

    asyncio.run(counted())
    return counter


_SLICE = 250
_CHUNKS = 8
_MESSAGES = 200


def costs(scenario: str) -> dict[str, dict[str, float]]:
    """Return what each further record, and each further chunk, adds to a run."""
    count(scenario, 2 * _SLICE, _SLICE)  # what is made at the first use is no cost of a record
    if scenario in ("trigger", "coalesce"):
        fewer, more = count(scenario, _MESSAGES, 1), count(scenario, 2 * _MESSAGES, 1)
        return {"message": _per(_MESSAGES, fewer, more)}
    small, large = 2 * _SLICE, 4 * _SLICE
    fewer = count(scenario, _CHUNKS * small, small)
    larger = count(scenario, _CHUNKS * large, large)
    more = count(scenario, 2 * _CHUNKS * small, small)
    return {"record": _per(_CHUNKS * small, fewer, larger), "chunk": _per(_CHUNKS, larger, more)}


def _per(units: int, less: Counter, more: Counter) -> dict[str, float]:
    return {
        "opcodes": round((more.opcodes - less.opcodes) / units, 3),
        "calls": round((more.calls - less.calls) / units, 3),
    }


def main() -> None:
    options = argparse.ArgumentParser(description="What a record costs.")
    options.add_argument("scenario", nargs="?", choices=SCENARIOS)
    options.add_argument("--records", type=int, default=40_000)
    options.add_argument("--chunk-size", type=int, default=2_500)
    given = options.parse_args()
    gc.disable()  # a collection comes when it comes, and calls what it finds
    if given.scenario:
        run(given.scenario, given.records, given.chunk_size)
    else:
        print(json.dumps({scenario: costs(scenario) for scenario in SENT}))


if __name__ == "__main__":
    main()
