"""Schedules of faults: which request meets which."""

from __future__ import annotations

import pytest

from mobiz_async.sandbox import Fault, Faults, Injection, Sandbox


def test_a_script_gives_its_faults_in_turn_and_then_none():
    faults = Faults.script([None, Fault.THROTTLE, Injection(Fault.QUOTA, retry_after=9)])

    assert [None, Injection(Fault.THROTTLE), Injection(Fault.QUOTA, retry_after=9), None] == [
        faults.pick("/") for _ in range(4)
    ]


def test_every_nth_request_of_those_at_a_path():
    faults = Faults.every(2, Fault.THROTTLE, where=lambda path: "append" in path)

    picked = [faults.pick(path) for path in ("/append", "/trigger", "/append", "/append", "/append")]

    assert [None, None, Injection(Fault.THROTTLE), None, Injection(Fault.THROTTLE)] == picked


def test_a_seed_gives_the_same_faults_again_at_about_their_odds():
    odds = {Fault.THROTTLE: 0.25, Fault.QUOTA: 0.25}
    first, second = (Faults.seeded(7, odds) for _ in range(2))

    picked = [first.pick("/") for _ in range(1_000)]

    assert picked == [second.pick("/") for _ in range(1_000)]
    assert all(200 < picked.count(each) < 300 for each in map(Injection, odds))
    assert 450 < picked.count(None) < 550


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("always:throttle@5", [Injection(Fault.THROTTLE, retry_after=5, delay=5)] * 2),
        ("every:2:quota", [None, Injection(Fault.QUOTA)]),
        ("script:-,reset_after_apply", [None, Injection(Fault.RESET_AFTER_APPLY)]),
        ("seeded:1:throttle=1.0", [Injection(Fault.THROTTLE)] * 2),
    ],
)
def test_a_schedule_can_be_written_as_one_word(text, expected):
    faults = Faults.parse(text)

    assert expected == [faults.pick("/") for _ in range(2)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "often:throttle",
        "always:nothing",
        "every:x:throttle",
        "every:0:throttle",
        "seeded:1:-=0.5",
        "seeded:1:throttle=2",
    ],
)
def test_a_word_that_is_no_schedule_is_a_value_error(text):
    with pytest.raises(ValueError, match=r".+"):
        Faults.parse(text)


def test_a_schedule_shows_what_it_is():
    assert repr(Faults.every(3, Fault.QUOTA)) == "Faults('every 3', seen=0)"
    assert "choose" not in repr(Faults(lambda _: None))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Faults.always("no_such_fault"),
        lambda: Faults.every(2, "no_such_fault"),
        lambda: Faults.script([None, "no_such_fault"]),
        lambda: Faults.always(429),
    ],
)
def test_what_is_no_fault_is_refused_before_a_request_meets_it(make):
    """It would answer 500, which is an unknown outcome: a test of those would pass."""
    with pytest.raises(ValueError, match="is not a valid Fault"):
        make()


def test_a_fault_is_no_schedule():
    with pytest.raises(TypeError, match="Faults"):
        Sandbox(faults=Fault.QUOTA)

    with pytest.raises(TypeError, match="Faults"):
        Sandbox().faults = Fault.QUOTA


@pytest.mark.parametrize("name", ["rate_limit", "quota"])
def test_a_bare_number_is_no_limit(name):
    with pytest.raises(TypeError, match="Limit"):
        Sandbox(**{name: 5})
