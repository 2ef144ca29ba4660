"""The search for bad records in a refused range: a pure object, asked and told."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mobiz_async.splitting import Search


def solve(count: int, bad: set[int], lost: set[int] = frozenset()) -> tuple[Search, list[tuple[int, int]], int]:
    """Search a range against an atomic server; requests whose number is in ``lost`` prove nothing."""
    search = Search(count)
    accepted: list[tuple[int, int]] = []
    requests = 0
    while (span := search.next_range()) is not None:
        requests += 1
        if requests in lost:
            search.lost()
        elif bad.isdisjoint(range(*span)):
            accepted.append(span)
            search.accepted()
        else:
            search.refused()
    return search, accepted, requests


def bound(count: int, bad: int) -> float:
    return 2 * bad * math.log2(count / bad) + 10


@given(
    st.integers(2, 3000).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1, max_size=40))
    )
)
@example((10_000, {0}))
@example((10_000, {9_999}))
@example((7, set(range(7))))
def test_the_bad_ones_are_found_and_all_others_accepted_exactly_once(case):
    count, bad = case

    search, accepted, _ = solve(count, bad)

    assert search.bad == sorted(bad)
    assert sorted(record for span in accepted for record in range(*span)) == sorted(set(range(count)) - bad)
    assert search.rest == (count, count)


@given(st.integers(2, 20_000), st.integers(1, 100), st.integers(0, 2**32))
def test_few_requests_find_them_wherever_they_lie(count, bad, seed):
    bad = min(bad, count // 16 or 1)
    places = set(random.Random(seed).sample(range(count), bad))

    assert solve(count, places)[2] <= bound(count, bad)


@pytest.mark.parametrize("bad", [1, 7, 100])
@pytest.mark.parametrize("layout", ["even", "head", "tail", "cluster", "ends"])
def test_few_requests_find_them_in_awkward_layouts(bad, layout):
    n = 10_000
    places = {
        "even": {position * n // bad for position in range(bad)},
        "head": set(range(bad)),
        "tail": set(range(n - bad, n)),
        "cluster": set(range(n // 2, n // 2 + bad)),
        "ends": {position if position % 2 else n - 1 - position for position in range(bad)},
    }[layout]

    assert solve(n, places)[2] <= bound(n, bad)


@given(
    st.integers(2, 400),
    st.sets(st.integers(0, 399), min_size=1, max_size=20),
    st.sets(st.integers(1, 60), max_size=10),
)
def test_a_range_that_proved_nothing_is_left_alone_and_the_rest_is_still_told_apart(count, bad, lost):
    bad = {position % count for position in bad}

    search, accepted, _ = solve(count, bad, lost)

    seen = sorted(record for span in accepted for record in range(*span))
    assert len(seen) == len(set(seen))
    assert set(search.bad) <= bad
    assert bad.isdisjoint(seen)
    assert search.rest == (count, count)


def test_a_single_record_that_was_refused_is_bad_without_another_request():
    search, _, requests = solve(1, {0})

    assert (search.bad, requests) == ([0], 0)


@given(st.integers(2, 20_000), st.integers(1, 20_000))
def test_a_body_refused_for_its_size_has_no_bad_record(count, limit):
    """As with a 413: whatever is small enough is accepted."""
    search = Search(count)
    accepted = 0
    sent = count
    while sent > limit or accepted < count:
        start, stop = search.next_range()
        sent = stop - start
        if sent > limit:
            search.refused()
        else:
            accepted += sent
            search.accepted()

    assert (accepted, search.bad, search.next_range()) == (count, [], None)
