"""Again, after how long, or not: the decision as a table, and the loop that obeys it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobiz_async.models import Outcome, RetryPolicy
from mobiz_async.retrying import Again, Enough, backoff, decide, repeat
from mobiz_async.verdicts import Verdict

POLICY = RetryPolicy(max_attempts=3, base=1.0, cap=20.0, throttle_base=4.0, throttle_cap=60.0, max_retry_after=100.0)

NOT_PROVEN = Enough("only what provably was not applied is sent again")
TOO_LONG = Enough("Retry-After is longer than max_retry_after")
ATTEMPTS = Enough("max_attempts reached")
DEADLINE = Enough("the deadline would pass")

TABLE = [
    ("accepted", {"verdict": Verdict.ACCEPTED}, NOT_PROVEN),
    ("rejected", {"verdict": Verdict.INVALID_PAYLOAD}, NOT_PROVEN),
    ("refused credentials", {"verdict": Verdict.AUTH_FAILED}, NOT_PROVEN),
    ("wrong address", {"verdict": Verdict.MISDIRECTED}, NOT_PROVEN),
    ("quota", {"verdict": Verdict.QUOTA, "retry_after": 1.0}, NOT_PROVEN),
    ("never started", {"verdict": Verdict.NOT_STARTED}, NOT_PROVEN),
    ("unknown", {"verdict": Verdict.NO_ANSWER}, NOT_PROVEN),
    ("server error", {"verdict": Verdict.SERVER_ERROR}, NOT_PROVEN),
    ("no connection", {}, Again(0.5)),
    ("no connection, twice", {"attempt": 2}, Again(1.0)),
    ("attempts used up", {"attempt": 3}, ATTEMPTS),
    ("throttled without a word", {"verdict": Verdict.THROTTLED}, Again(2.0)),
    ("throttled twice without a word", {"verdict": Verdict.THROTTLED, "attempt": 2}, Again(4.0)),
    ("throttled for a time", {"verdict": Verdict.THROTTLED, "retry_after": 30.0}, Again(30.5)),
    ("throttled for no time", {"verdict": Verdict.THROTTLED, "retry_after": 0.0}, Again(2.0)),
    ("throttled for no time, twice", {"verdict": Verdict.THROTTLED, "retry_after": 0.0, "attempt": 2}, Again(4.0)),
    ("throttled up to the cap", {"verdict": Verdict.THROTTLED, "retry_after": 100.0}, Again(100.5)),
    ("throttled beyond the cap", {"verdict": Verdict.THROTTLED, "retry_after": 100.1}, TOO_LONG),
    ("throttled, attempts used up", {"verdict": Verdict.THROTTLED, "attempt": 3, "retry_after": 1.0}, ATTEMPTS),
    ("before the deadline", {"deadline": 10.0, "elapsed": 9.4}, Again(0.5)),
    ("at the deadline", {"deadline": 10.0, "elapsed": 9.5}, DEADLINE),
    ("throttled past the deadline", {"verdict": Verdict.THROTTLED, "retry_after": 9.8, "deadline": 10.0}, DEADLINE),
    ("unknown, to be resent", {"verdict": Verdict.NO_ANSWER, "resend_unknown": True}, Again(0.5)),
    ("server error, to be resent", {"verdict": Verdict.SERVER_ERROR, "resend_unknown": True}, Again(0.5)),
    ("unreadable, to be resent", {"verdict": Verdict.UNREADABLE, "resend_unknown": True}, Again(0.5)),
    ("unknown, resent too often", {"verdict": Verdict.NO_ANSWER, "resend_unknown": True, "attempt": 3}, ATTEMPTS),
    (
        "redirected, though unknown are resent",
        {"verdict": Verdict.REDIRECTED, "resend_unknown": True},
        Enough("a redirect would be answered the same way again"),
    ),
    ("rejected, though unknown are resent", {"verdict": Verdict.REFUSED, "resend_unknown": True}, NOT_PROVEN),
]


@pytest.mark.parametrize(("case", "given", "expected"), TABLE, ids=[case for case, *_ in TABLE])
def test_what_goes_again_and_when(case: str, given: dict, expected: Again | Enough) -> None:
    asked = {"verdict": Verdict.CONNECT_FAILED, "attempt": 1, "elapsed": 0.0, "chance": 0.5, **given}

    assert expected == decide(asked.pop("verdict"), policy=POLICY, **asked)


def test_of_two_deadlines_the_nearer_counts() -> None:
    policy = RetryPolicy(deadline=5.0, base=1.0)
    ask = {"attempt": 1, "policy": policy, "chance": 0.5}

    assert Again(0.5) == decide(Verdict.CONNECT_FAILED, elapsed=4.4, deadline=9.0, **ask)
    assert decide(Verdict.CONNECT_FAILED, elapsed=4.5, deadline=9.0, **ask) == DEADLINE
    assert decide(Verdict.CONNECT_FAILED, elapsed=4.4, deadline=4.8, **ask) == DEADLINE


@pytest.mark.parametrize(
    ("failures", "chance", "expected"),
    [(1, 1.0, 0.1), (2, 1.0, 0.2), (3, 1.0, 0.4), (8, 1.0, 12.8), (9, 1.0, 20.0), (10_000, 1.0, 20.0), (3, 0.25, 0.1)],
)
def test_backoff_doubles_up_to_its_cap(failures: int, chance: float, expected: float) -> None:
    assert backoff(failures, 0.1, 20.0, chance) == pytest.approx(expected)


@given(st.sampled_from(Verdict), st.integers(1, 50), st.floats(0, 1), st.none() | st.floats(0, 1e6))
def test_only_what_provably_was_not_applied_goes_again(verdict, attempt: int, chance: float, retry_after) -> None:
    decision = decide(verdict, attempt=attempt, policy=POLICY, elapsed=0.0, chance=chance, retry_after=retry_after)

    if isinstance(decision, Again):
        assert verdict.outcome is Outcome.NOT_SENT
        assert attempt < POLICY.max_attempts
        assert decision.after >= (retry_after or 0.0 if verdict is Verdict.THROTTLED else 0.0)


@given(st.floats(0, 100), st.floats(0, 1), st.integers(1, 2))
def test_retry_after_is_obeyed_in_full_and_the_backoff_too(told: float, chance: float, attempt: int) -> None:
    decision = decide(Verdict.THROTTLED, attempt=attempt, policy=POLICY, elapsed=0.0, chance=chance, retry_after=told)

    assert isinstance(decision, Again)
    wait = backoff(attempt, POLICY.throttle_base, POLICY.throttle_cap, chance)
    assert max(told, wait) <= decision.after <= max(told + POLICY.base, wait)


# The loop


async def run(results: list[Again | Enough]) -> tuple[list[int], list[float], int]:
    made: list[int] = []
    slept: list[float] = []

    async def attempt() -> tuple[int, Again | Enough]:
        made.append(len(made))
        return made[-1], results[made[-1]]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    last = await repeat(attempt, sleep)
    return made, slept, last


async def test_the_loop_attempts_until_it_is_enough_and_returns_the_last_result() -> None:
    assert await run([Again(1.5), Again(0.25), Enough("x")]) == ([0, 1, 2], [1.5, 0.25], 2)


async def test_a_first_attempt_that_is_enough_is_the_only_one() -> None:
    assert await run([Enough("x")]) == ([0], [], 0)


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError])
async def test_what_an_attempt_raises_ends_the_loop_as_it_is(failing: int, kind: type[BaseException]) -> None:
    error = kind("mine")
    made = 0

    async def attempt() -> tuple[None, Again]:
        nonlocal made
        made += 1
        if made > failing:
            raise error
        return None, Again(0.0)

    async def sleep(_: float) -> None:
        return

    with pytest.raises(kind) as raised:
        await repeat(attempt, sleep)

    assert raised.value is error
    assert made == failing + 1
