"""Faults on demand: what the sandbox does instead of answering, and when.

A ``Fault`` is one way in which a request can go wrong on the wire; ``FACTS`` says of each whether the send was applied
and what the peer sees. ``Faults`` is a schedule that gives each API request its fault, or none. Refusing connections
is no property of a request and therefore no ``Fault``: see ``Sandbox.refuse`` and ``Sandbox.accept``.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import attrs

__all__ = ["FACTS", "Fault", "FaultFacts", "Faults", "Injection"]


class Fault(enum.StrEnum):
    """One way in which a request goes wrong. ``FACTS[fault]`` says what it does and whether the send was applied."""

    CLOSE_BEFORE_READING = "close_before_reading"
    RESET_MID_BODY = "reset_mid_body"
    EARLY_413 = "early_413"
    RESET_UNAPPLIED = "reset_unapplied"
    HANG_UNAPPLIED = "hang_unapplied"
    ERROR_500_UNAPPLIED = "error_500_unapplied"
    RESET_AFTER_APPLY = "reset_after_apply"
    CLOSE_AFTER_APPLY = "close_after_apply"
    HANG_AFTER_APPLY = "hang_after_apply"
    ERROR_500_AFTER_APPLY = "error_500_after_apply"
    ERROR_502_AFTER_APPLY = "error_502_after_apply"
    ERROR_504_AFTER_APPLY = "error_504_after_apply"
    UNAVAILABLE_AFTER_APPLY = "unavailable_after_apply"
    TRUNCATED_AFTER_APPLY = "truncated_after_apply"
    GARBAGE_AFTER_APPLY = "garbage_after_apply"
    HALF_STATUS_LINE_AFTER_APPLY = "half_status_line_after_apply"
    HTML_200_AFTER_APPLY = "html_200_after_apply"
    FIELDLESS_200_AFTER_APPLY = "fieldless_200_after_apply"
    EMPTY_200_AFTER_APPLY = "empty_200_after_apply"
    EMPTY_202 = "empty_202"
    FEWER_IDS = "fewer_ids"
    SLOW_ANSWER = "slow_answer"
    CLOSE_AFTER_ANSWER = "close_after_answer"
    CLOSE_ON_REUSE = "close_on_reuse"
    THROTTLE = "throttle"
    THROTTLE_DATE = "throttle_date"
    THROTTLE_BARE = "throttle_bare"
    UNAVAILABLE = "unavailable"
    UNAVAILABLE_RETRY_AFTER = "unavailable_retry_after"
    UNAUTHORIZED = "unauthorized"
    QUOTA = "quota"
    REDIRECT_301 = "redirect_301"
    REDIRECT_307 = "redirect_307"
    REJECTED_200 = "rejected_200"
    ERROR_400_LOGIC_APPS = "error_400_logic_apps"

    @property
    def applied(self) -> bool:
        """Whether a valid request under this fault is applied."""
        return FACTS[self].applied

    @property
    def reads_body(self) -> bool:
        """Whether the sandbox reads the whole body before it misbehaves."""
        return self not in _BEFORE_BODY


_BEFORE_BODY = frozenset({Fault.CLOSE_BEFORE_READING, Fault.RESET_MID_BODY, Fault.EARLY_413})


@attrs.frozen
class FaultFacts:
    """What a fault does: whether a valid send was applied, and what the peer sees."""

    applied: bool
    peer_sees: str


_YES, _NO = True, False

FACTS: Mapping[Fault, FaultFacts] = MappingProxyType(
    {
        Fault.CLOSE_BEFORE_READING: FaultFacts(_NO, "the connection closed after its headers, none of the body read"),
        Fault.RESET_MID_BODY: FaultFacts(_NO, "RST when about half of the body had been read"),
        Fault.EARLY_413: FaultFacts(_NO, "413 and Connection: close while the body is still going out"),
        Fault.RESET_UNAPPLIED: FaultFacts(_NO, "RST after the whole body"),
        Fault.HANG_UNAPPLIED: FaultFacts(_NO, "silence after the whole body; FIN at Sandbox.release()"),
        Fault.ERROR_500_UNAPPLIED: FaultFacts(_NO, "500 with an activityId"),
        Fault.RESET_AFTER_APPLY: FaultFacts(_YES, "RST after the whole body"),
        Fault.CLOSE_AFTER_APPLY: FaultFacts(_YES, "FIN after the whole body, without an answer"),
        Fault.HANG_AFTER_APPLY: FaultFacts(_YES, "silence after the whole body; FIN at Sandbox.release()"),
        Fault.ERROR_500_AFTER_APPLY: FaultFacts(_YES, "500 with an activityId"),
        Fault.ERROR_502_AFTER_APPLY: FaultFacts(_YES, "502 with an HTML page"),
        Fault.ERROR_504_AFTER_APPLY: FaultFacts(_YES, "504 with the gateway's JSON"),
        Fault.UNAVAILABLE_AFTER_APPLY: FaultFacts(_YES, "503 without Retry-After"),
        Fault.TRUNCATED_AFTER_APPLY: FaultFacts(_YES, "a 200 whose JSON ends before its Content-Length"),
        Fault.GARBAGE_AFTER_APPLY: FaultFacts(_YES, "bytes that are not HTTP, then FIN"),
        Fault.HALF_STATUS_LINE_AFTER_APPLY: FaultFacts(_YES, "half a status line, then FIN"),
        Fault.HTML_200_AFTER_APPLY: FaultFacts(_YES, "200 with an HTML page, as a proxy's login page is"),
        Fault.FIELDLESS_200_AFTER_APPLY: FaultFacts(_YES, "200 with JSON that has none of the documented fields"),
        Fault.EMPTY_200_AFTER_APPLY: FaultFacts(_YES, "200 with an empty body"),
        Fault.EMPTY_202: FaultFacts(_YES, "202 with an empty body, as Azure Logic Apps answers"),
        Fault.FEWER_IDS: FaultFacts(_YES, "a trigger's acceptance with one Message_Status entry too few"),
        Fault.SLOW_ANSWER: FaultFacts(_YES, "the ordinary answer, after a delay"),
        Fault.CLOSE_AFTER_ANSWER: FaultFacts(_YES, "the ordinary keep-alive answer, then FIN without notice"),
        Fault.CLOSE_ON_REUSE: FaultFacts(
            _YES, "the ordinary answer; the next request on that connection is closed unread and not applied"
        ),
        Fault.THROTTLE: FaultFacts(_NO, "429 with Retry-After in seconds"),
        Fault.THROTTLE_DATE: FaultFacts(_NO, "429 with Retry-After as an HTTP date"),
        Fault.THROTTLE_BARE: FaultFacts(_NO, "429 without Retry-After"),
        Fault.UNAVAILABLE: FaultFacts(_NO, "503 without Retry-After"),
        Fault.UNAVAILABLE_RETRY_AFTER: FaultFacts(_NO, "503 with Retry-After"),
        Fault.UNAUTHORIZED: FaultFacts(_NO, "401 as the gateway answers an invalid subscription key"),
        Fault.QUOTA: FaultFacts(_NO, "403 with Retry-After, the call volume quota used up"),
        Fault.REDIRECT_301: FaultFacts(_NO, "301 to a path that counts what arrives there"),
        Fault.REDIRECT_307: FaultFacts(_NO, "307 to a path that counts what arrives there"),
        Fault.REJECTED_200: FaultFacts(_NO, "a rejection in the API's own fields, under a 200"),
        Fault.ERROR_400_LOGIC_APPS: FaultFacts(_NO, "400 with an error object, as Azure Logic Apps answers"),
    }
)


@attrs.frozen
class Injection:
    """A fault with its numbers, in seconds: ``retry_after`` where the answer names one, ``delay`` of a slow answer."""

    fault: Fault = attrs.field(converter=Fault)
    retry_after: float = attrs.field(default=1, validator=attrs.validators.ge(0))
    delay: float = attrs.field(default=1.0, validator=attrs.validators.ge(0))

    @classmethod
    def parse(cls, text: str) -> Injection | None:
        """Read ``name`` or ``name@seconds``; ``-`` is no fault. Raise ValueError for anything else."""
        if text == "-":
            return None
        name, _, seconds = text.partition("@")
        if name not in Fault.__members__.values():
            raise ValueError(f"there is no fault {name!r}; what seconds it has stand behind an @")
        number = float(seconds) if seconds else 1.0
        return cls(Fault(name), retry_after=number, delay=number)


Choice = Fault | Injection | None


def _injection(choice: Choice) -> Injection | None:
    return choice if choice is None or isinstance(choice, Injection) else Injection(choice)


class Faults:
    """A schedule: which fault, if any, each POST at an API path meets. It counts; use one for each sandbox."""

    def __init__(
        self, choose: Callable[[int], Choice], *, where: Callable[[str], bool] | None = None, text: str = ""
    ) -> None:
        """Ask ``choose(n)`` for the n-th POST, from 1, whose path satisfies ``where`` (default: every one)."""
        self._choose = choose
        self._where = where
        self._text = text
        self._count = 0

    def __repr__(self) -> str:
        return f"Faults({self._text or self._choose!r}, seen={self._count})"

    @classmethod
    def script(cls, choices: Iterable[Choice], *, where: Callable[[str], bool] | None = None) -> Faults:
        """Give out ``choices`` one by one; no fault after the last."""
        rest = iter([_injection(choice) for choice in choices])
        return cls(lambda _: next(rest, None), where=where, text="script")

    @classmethod
    def always(cls, choice: Choice, *, where: Callable[[str], bool] | None = None) -> Faults:
        """Give every request the same fault."""
        made = _injection(choice)
        return cls(lambda _: made, where=where, text="always")

    @classmethod
    def every(cls, n: int, choice: Choice, *, where: Callable[[str], bool] | None = None) -> Faults:
        """Give the n-th, 2n-th, 3n-th... request the fault. Raise ValueError for ``n`` below 1."""
        if n < 1:
            raise ValueError("every n-th request: n is at least 1")
        made = _injection(choice)
        return cls(lambda count: None if count % n else made, where=where, text=f"every {n}")

    @classmethod
    def seeded(
        cls, seed: int, odds: Mapping[Fault | Injection, float], *, where: Callable[[str], bool] | None = None
    ) -> Faults:
        """Draw from ``odds`` (fault to probability) for each request, the same sequence for the same seed.

        Raise ValueError where a probability is negative or they add up to more than 1.
        """
        if any(chance < 0 for chance in odds.values()) or sum(odds.values()) > 1 + 1e-9:
            raise ValueError("probabilities are not negative and add up to 1 at most")
        source = random.Random(seed)  # noqa: S311  # a repeatable sequence is the point

        def draw(_: int) -> Choice:
            point = source.random()
            for choice, chance in odds.items():
                if point < chance:
                    return choice
                point -= chance
            return None

        return cls(draw, where=where, text=f"seeded {seed}")

    @classmethod
    def parse(cls, text: str) -> Faults:
        """Read a schedule from one word of a command line; raise ValueError where it is none.

        ``always:FAULT``, ``every:N:FAULT``, ``script:FAULT,-,FAULT``, ``seeded:SEED:FAULT=0.1,FAULT=0.05``; a FAULT is
        its name in lower case, with ``@SECONDS`` for its Retry-After or delay, or ``-`` for none.
        """
        kind, _, rest = text.partition(":")
        match kind:
            case "always":
                return cls.always(Injection.parse(rest))
            case "every":
                n, _, fault = rest.partition(":")
                return cls.every(int(n), Injection.parse(fault))
            case "script":
                return cls.script(map(Injection.parse, rest.split(",")))
            case "seeded":
                seed, _, pairs = rest.partition(":")
                return cls.seeded(int(seed), dict(map(_odds, pairs.split(","))))
            case _:
                raise ValueError("a fault schedule begins with always:, every:, script: or seeded:")

    def pick(self, path: str) -> Injection | None:
        """Return what the next POST, at ``path``, meets."""
        if self._where is not None and not self._where(path):
            return None
        self._count += 1
        return _injection(self._choose(self._count))


def _odds(pair: str) -> tuple[Injection, float]:
    name, _, chance = pair.partition("=")
    injection = Injection.parse(name)
    if injection is None:
        raise ValueError("the chance of no fault is what the others leave")
    return injection, float(chance)
