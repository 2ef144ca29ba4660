"""What the sandbox remembers, and at what cost."""

from __future__ import annotations

import collections
import contextlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobiz_async.sandbox import Fault, Faults, Injection, Sandbox
from mobiz_async.sandbox.ledger import Column, Ledger, Stream
from mobiz_async.sandbox.tally import Tally

digits = st.text("0123456789", min_size=0, max_size=20)
texts = st.lists(st.one_of(digits, st.text(max_size=5)), max_size=30)


@given(st.lists(texts, max_size=5))
def test_a_column_gives_back_what_was_put_in(parts):
    column = Column()
    for part in parts:
        column.extend(part)

    put_in = [text for part in parts for text in part]
    counts = collections.Counter(put_in)
    assert list(column.texts()) == put_in
    assert column.tally() == (len(counts), sum(count > 1 for count in counts.values()))


def test_a_tally_follows_what_is_added():
    column = Column()
    tallies = []
    for text in ("007", "7", "007", "007", "x", "x"):
        column.extend([text])
        tallies.append(column.tally())

    assert tallies == [(1, 0), (2, 0), (2, 1), (2, 1), (3, 1), (3, 2)]


@given(texts, st.lists(st.one_of(texts, st.integers(1, 9)), max_size=8))
def test_a_tally_is_the_same_whenever_it_is_asked_for_and_however_it_is_sliced(before, steps):
    column, put_in = Column(), list(before)
    column.extend(before)
    for step in steps:
        if isinstance(step, int):
            column.catch_up(step)
        else:
            column.extend(step)
            put_in += step

    counts = collections.Counter(put_in)
    assert column.tally() == (len(counts), sum(count > 1 for count in counts.values()))


def test_nothing_is_tallied_before_somebody_asks_and_everything_once_only(monkeypatch):
    tallied = []
    monkeypatch.setattr(Tally, "count", lambda self, codes, others: tallied.append([*codes]))
    column = Column()
    column.extend(["1", "2"])
    unasked = [*tallied]
    for text in ("3", "4"):
        column.tally()
        column.extend([text])
    column.tally()

    assert unasked == []
    assert [code for codes in tallied for code in codes] == [11, 12, 13, 14]


async def test_a_first_look_at_many_records_lets_go_of_the_loop_after_as_many_as_one_append_brings(sandbox):
    numbers = [f"2782{n:07}" for n in range(25_000)]
    sandbox._ledger.apply(("list", "1"), 1, numbers, [{}], body=b"[]")
    look, turns = sandbox._tallied(), 0
    with contextlib.suppress(StopIteration):
        while True:
            look.send(None)
            turns += 1

    assert (turns, sandbox.summary()["distinct"]) == (2, 25_000)


async def test_requests_that_came_too_early_are_counted_when_they_are_no_longer_kept(peer_of):
    async with Sandbox(keep_requests=1, faults=Faults.always(Injection(Fault.THROTTLE, retry_after=60))) as sandbox:
        for number in (1, 1, 2):
            await peer_of(sandbox).append([{"Number": f"2782000000{number}"}])

    assert (len(sandbox.early), sandbox.summary()["requests"]["early"]) == (0, 1)


@pytest.mark.parametrize("looked_at", [False, True])
def test_a_hundred_thousand_applied_records_cost_less_than_thirty_bytes_each(looked_at):
    ledger = Ledger(keep_records=0, keep_requests=10)
    numbers = [[f"2782{n + chunk * 10_000:07}" for n in range(10_000)] for chunk in range(10)]
    tracemalloc.start()

    if looked_at:
        ledger.streams["list", "1"] = Stream()
        ledger.catch_up(1)
    for request, chunk in enumerate(numbers, 1):
        ledger.apply(("list", "1"), request, chunk, [{}], body=b"[]")
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert used < 100_000 * 30


async def test_only_the_latest_requests_are_remembered_and_the_totals_stay_exact(peer_of):
    async with Sandbox(keep_requests=2) as sandbox:
        for number in range(4):
            await peer_of(sandbox).append([{"Number": f"2782000000{number}"}])

    assert [seen.number for seen in sandbox.requests] == [3, 4]
    assert sandbox.summary()["requests"]["total"] == 4
    assert sandbox.applied_by(1) == ("27820000000",)


def test_forgetting_a_request_looks_at_no_other():
    class Unsearched(dict):
        def __iter__(self):
            pytest.fail("it was searched")

    ledger = Ledger(keep_records=0, keep_requests=2)
    ledger.requests = Unsearched()

    for _ in range(5):
        ledger.begin(0.0, "POST", "/", {})

    assert list(ledger.requests.keys()) == [4, 5]


async def test_a_request_that_is_forgotten_while_it_is_under_way_is_still_answered(peer_of):
    async with Sandbox(keep_requests=0) as sandbox:
        reply = await peer_of(sandbox).append([{"Number": "27820000000"}])

    assert (reply.status, sandbox.requests, sandbox.applied_total) == (200, (), 1)


async def test_records_beyond_what_is_kept_are_an_error_and_never_a_part(peer_of):
    async with Sandbox(keep_records=2) as sandbox:
        peer = peer_of(sandbox)
        await peer.append([{"Number": "27820000001"}, {"Number": "27820000002"}])
        kept = sandbox.records(1)
        await peer.append([{"Number": "27820000003"}])

    assert kept == [{"Number": "27820000001"}, {"Number": "27820000002"}]
    with pytest.raises(LookupError, match="keep_records"):
        sandbox.records(1)
    assert sandbox.applied_total == 3


async def test_records_are_kept_without_a_bound_on_request(peer_of):
    rows = [{"Number": f"2782{n:07}"} for n in range(10_000)]
    async with Sandbox(keep_records=None) as sandbox:
        for _ in range(2):
            await peer_of(sandbox).append(rows)

    assert sandbox.records("1") == rows * 2


async def test_a_list_that_nothing_was_sent_to_has_nothing(sandbox):
    assert (sandbox.applied("1"), sandbox.records("1"), sandbox.triggered()) == ({}, [], {})
