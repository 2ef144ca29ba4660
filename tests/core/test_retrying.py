"""Again, after how long, or not: the decision as a table, and the loop that obeys it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobiz_async.models import Outcome, RetryPolicy
from mobiz_async.retrying import backoff, decide, repeat
from mobiz_async.verdicts import Verdict

POLICY = RetryPolicy(max_attempts=3, base=1.0, cap=20.0, throttle_base=4.0, throttle_cap=60.0, max_retry_after=100.0)

TABLE = [
    ("accepted", {"verdict": Verdict.ACCEPTED}, None),
    ("rejected", {"verdict": Verdict.INVALID_PAYLOAD}, None),
    ("refused credentials", {"verdict": Verdict.AUTH_FAILED}, None),
    ("wrong address", {"verdict": Verdict.MISDIRECTED}, None),
    ("quota", {"verdict": Verdict.QUOTA, "retry_after": 1.0}, None),
    ("never started", {"verdict": Verdict.NOT_STARTED}, None),
    ("unknown", {"verdict": Verdict.NO_ANSWER}, None),
    ("server error", {"verdict": Verdict.SERVER_ERROR}, None),
    ("no connection", {}, 0.5),
    ("no connection, twice", {"attempt": 2}, 1.0),
    ("attempts used up", {"attempt": 3}, None),
    ("throttled without a word", {"verdict": Verdict.THROTTLED}, 2.0),
    ("throttled twice without a word", {"verdict": Verdict.THROTTLED, "attempt": 2}, 4.0),
    ("throttled for a time", {"verdict": Verdict.THROTTLED, "retry_after": 30.0}, 30.5),
    ("throttled for no time", {"verdict": Verdict.THROTTLED, "retry_after": 0.0}, 2.0),
    ("throttled for no time, twice", {"verdict": Verdict.THROTTLED, "retry_after": 0.0, "attempt": 2}, 4.0),
    ("throttled up to the cap", {"verdict": Verdict.THROTTLED, "retry_after": 100.0}, 100.5),
    ("throttled beyond the cap", {"verdict": Verdict.THROTTLED, "retry_after": 100.1}, None),
    ("throttled, attempts used up", {"verdict": Verdict.THROTTLED, "attempt": 3, "retry_after": 1.0}, None),
    ("before the deadline", {"deadline": 10.0, "elapsed": 9.4}, 0.5),
    ("at the deadline", {"deadline": 10.0, "elapsed": 9.5}, None),
    ("throttled past the deadline", {"verdict": Verdict.THROTTLED, "retry_after": 9.8, "deadline": 10.0}, None),
    ("unknown, to be resent", {"verdict": Verdict.NO_ANSWER, "resend_unknown": True}, 0.5),
    ("server error, to be resent", {"verdict": Verdict.SERVER_ERROR, "resend_unknown": True}, 0.5),
    ("unreadable, to be resent", {"verdict": Verdict.UNREADABLE, "resend_unknown": True}, 0.5),
    ("unknown, resent too often", {"verdict": Verdict.NO_ANSWER, "resend_unknown": True, "attempt": 3}, None),
    ("redirected, though unknown are resent", {"verdict": Verdict.REDIRECTED, "resend_unknown": True}, None),
    ("rejected, though unknown are resent", {"verdict": Verdict.REFUSED, "resend_unknown": True}, None),
]


@pytest.mark.parametrize(("case", "given", "expected"), TABLE, ids=[case for case, *_ in TABLE])
def test_what_goes_again_and_when(case: str, given: dict, expected: float | None) -> None:
    asked = {"verdict": Verdict.CONNECT_FAILED, "attempt": 1, "elapsed": 0.0, "chance": 0.5, **given}

    assert expected == decide(asked.pop("verdict"), policy=POLICY, **asked)


def test_of_two_deadlines_the_nearer_counts() -> None:
    policy = RetryPolicy(deadline=5.0, base=1.0)
    ask = {"attempt": 1, "policy": policy, "chance": 0.5}

    assert decide(Verdict.CONNECT_FAILED, elapsed=4.4, deadline=9.0, **ask) == 0.5
    assert decide(Verdict.CONNECT_FAILED, elapsed=4.5, deadline=9.0, **ask) is None
    assert decide(Verdict.CONNECT_FAILED, elapsed=4.4, deadline=4.8, **ask) is None


@pytest.mark.parametrize(
    ("failures", "chance", "expected"),
    [(1, 1.0, 0.1), (2, 1.0, 0.2), (3, 1.0, 0.4), (8, 1.0, 12.8), (9, 1.0, 20.0), (10_000, 1.0, 20.0), (3, 0.25, 0.1)],
)
def test_backoff_doubles_up_to_its_cap(failures: int, chance: float, expected: float) -> None:
    assert backoff(failures, 0.1, 20.0, chance) == pytest.approx(expected)


@given(st.sampled_from(Verdict), st.integers(1, 50), st.floats(0, 1), st.none() | st.floats(0, 1e6))
def test_only_what_provably_was_not_applied_goes_again(verdict, attempt: int, chance: float, retry_after) -> None:
    after = decide(verdict, attempt=attempt, policy=POLICY, elapsed=0.0, chance=chance, retry_after=retry_after)

    if after is not None:
        assert verdict.outcome is Outcome.NOT_SENT
        assert attempt < POLICY.max_attempts
        assert after >= (retry_after or 0.0 if verdict is Verdict.THROTTLED else 0.0)


@given(st.floats(0, 100), st.floats(0, 1), st.integers(1, 2))
def test_retry_after_is_obeyed_in_full_and_the_backoff_too(told: float, chance: float, attempt: int) -> None:
    after = decide(Verdict.THROTTLED, attempt=attempt, policy=POLICY, elapsed=0.0, chance=chance, retry_after=told)

    assert after is not None
    wait = backoff(attempt, POLICY.throttle_base, POLICY.throttle_cap, chance)
    assert max(told, wait) <= after <= max(told + POLICY.base, wait)


# The loop


async def run(results: list[float | None]) -> tuple[list[int], list[float], int]:
    made: list[int] = []
    slept: list[float] = []

    async def attempt() -> tuple[int, float | None]:
        made.append(len(made))
        return made[-1], results[made[-1]]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    last = await repeat(attempt, sleep)
    return made, slept, last


async def test_the_loop_attempts_until_it_is_enough_and_returns_the_last_result() -> None:
    assert await run([1.5, 0.25, None]) == ([0, 1, 2], [1.5, 0.25], 2)


async def test_a_first_attempt_that_is_enough_is_the_only_one() -> None:
    assert await run([None]) == ([0], [], 0)


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError])
async def test_what_an_attempt_raises_ends_the_loop_as_it_is(failing: int, kind: type[BaseException]) -> None:
    error = kind("mine")
    made = 0

    async def attempt() -> tuple[None, float]:
        nonlocal made
        made += 1
        if made > failing:
            raise error
        return None, 0.0

    async def sleep(_: float) -> None:
        return

    with pytest.raises(kind) as raised:
        await repeat(attempt, sleep)

    assert raised.value is error
    assert made == failing + 1
