"""The verdict table is what keeps a text from going out twice: each of its "unknown" rows, broken on purpose, shows.

A row that says "unknown" is made to say "not sent", as a mistake in the table would. The scenario that reaches it then
has to break the rules of ``ground_truth``; with the genuine table it keeps them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from chaos_stand import client_of
from ground_truth import by_record, check, numbers

from mobiz_async import delivery
from mobiz_async.journal import MemoryJournal
from mobiz_async.models import Outcome
from mobiz_async.sandbox import Fault, Faults, Sandbox
from mobiz_async.testing import FakeClock
from mobiz_async.transport import OnStage, Transport
from mobiz_async.verdicts import ANSWERS, FAILURES, Attempt, Row, Verdict, classify
from mobiz_async.wire import Reply, Request

SOURCE = numbers(9)
UNKNOWN_ROWS = [row for row in (*FAILURES, *ANSWERS) if row.verdict.outcome is Outcome.UNKNOWN]


@attrs.define
class Answering:
    """Posts for real, so that it is applied, and then puts an answer of its own in the place of the first one."""

    inner: Transport
    reply: Reply | None
    posts: int = 0

    async def post(self, request: Request, on_stage: OnStage) -> Attempt:
        self.posts += 1
        attempt = await self.inner.post(request, on_stage)
        if self.reply is not None and self.posts == 1:
            return Attempt(attempt.stage, self.reply)
        return attempt

    async def aclose(self) -> None:
        await self.inner.aclose()


Scenario = tuple[Fault | None, Reply | None]

SCENARIOS: dict[str, list[Scenario]] = {
    "handed over": [
        (Fault.RESET_AFTER_APPLY, None),
        (Fault.CLOSE_AFTER_APPLY, None),
        (Fault.HANG_AFTER_APPLY, None),
        (Fault.TRUNCATED_AFTER_APPLY, None),
        (Fault.GARBAGE_AFTER_APPLY, None),
        (Fault.HALF_STATUS_LINE_AFTER_APPLY, None),
    ],
    "other 3xx": [(None, Reply(303, {"location": "/done"})), (None, Reply(302))],
    "408, 499": [(None, Reply(408)), (None, Reply(499))],
    "5xx": [
        (Fault.ERROR_500_AFTER_APPLY, None),
        (Fault.ERROR_502_AFTER_APPLY, None),
        (Fault.ERROR_504_AFTER_APPLY, None),
        (Fault.UNAVAILABLE_AFTER_APPLY, None),
    ],
    "anything else": [
        (Fault.HTML_200_AFTER_APPLY, None),
        (Fault.FIELDLESS_200_AFTER_APPLY, None),
        (Fault.EMPTY_200_AFTER_APPLY, None),
        (None, Reply(202)),
        (None, Reply(204)),
    ],
}
"""The name of a row, and what reaches it with the request applied: a fault, or an answer after a genuine one."""

CASES = [
    pytest.param(row, scenario, id=f"{row.name}-{scenario[0] or scenario[1].status}")
    for row in UNKNOWN_ROWS
    for scenario in SCENARIOS.get(row.name, [])
]


def broken(row: Row) -> Callable[..., Any]:
    """The classifier with one row turned from "unknown" to "not sent"."""

    def turned(rows: tuple[Row, ...]) -> tuple[Row, ...]:
        return tuple(attrs.evolve(one, verdict=Verdict.CONNECT_FAILED) if one is row else one for one in rows)

    return functools.partial(classify, answers=turned(ANSWERS), failures=turned(FAILURES))


async def run(scenario: Scenario) -> set[str]:
    """Run the scenario, check it against the ground truth, and return the rows that were reached."""
    fault, reply = scenario
    rows: set[str] = set()
    genuine = delivery.classify

    def noting(*arguments: Any, **options: Any) -> Any:
        judged = genuine(*arguments, **options)
        rows.add(judged.row)
        return judged

    delivery.classify = noting
    try:
        async with Sandbox(faults=Faults.script([fault])) as sandbox:
            clock = FakeClock(auto=True, grace=0.01)
            async with client_of(sandbox.base_url, read=0.2, clock=clock) as mobiz:
                mobiz._deliverer.transport = Answering(mobiz._deliverer.transport, reply)
                journal = MemoryJournal()
                for _ in range(2):
                    await mobiz.send_bulk("1", SOURCE, chunk_size=3, journal=journal)
            check(by_record([part async for part in journal.parts()], SOURCE), sandbox.applied("1"))
    finally:
        delivery.classify = genuine
    return rows


def test_every_unknown_row_of_the_table_has_a_scenario():
    assert {row.name for row in UNKNOWN_ROWS} == set(SCENARIOS)


@pytest.mark.parametrize(("row", "scenario"), CASES)
async def test_with_the_table_as_it_is_the_scenario_reaches_its_row_and_keeps_the_rules(row, scenario):
    assert row.name in await run(scenario)


@pytest.mark.parametrize(("row", "scenario"), CASES)
async def test_with_the_row_broken_the_rules_are_broken_and_it_shows(monkeypatch, row, scenario):
    monkeypatch.setattr(delivery, "classify", broken(row))

    with pytest.raises(AssertionError, match="applied"):
        await run(scenario)
