"""What travels together: the decision alone, told the time."""

from __future__ import annotations

import math

import pytest

from mobiz_async.coalescing import BatchQueue


def queue(*arrivals, max_batch=3, max_wait=0.01):
    made = BatchQueue(max_batch, max_wait)
    for name, at in arrivals:
        made.add(name, at)
    return made


def test_an_empty_queue_is_never_due():
    assert (queue().due_at, queue().take(1e9)) == (math.inf, [])


def test_the_oldest_decides_when_a_batch_is_due():
    waiting = queue(("a", 5.0), ("b", 5.005))
    assert (waiting.due_at, waiting.take(5.009), waiting.take(5.01)) == (5.01, [], ["a", "b"])


def test_a_full_batch_is_due_at_once_and_the_rest_waits_for_company():
    waiting = queue(*(("abcd"[number], 5.0) for number in range(4)))
    assert (waiting.due_at, waiting.take(5.0), waiting.take(5.0), len(waiting)) == (-math.inf, ["a", "b", "c"], [], 1)


def test_what_was_taken_out_does_not_travel_and_does_not_decide():
    waiting = queue(("a", 5.0), ("b", 5.008))
    assert (waiting.discard("a"), waiting.discard("a"), waiting.due_at) == (True, False, pytest.approx(5.018))
    assert waiting.take(5.02) == ["b"]
