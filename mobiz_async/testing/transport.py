"""A ``Transport`` without a network: it records what is posted and answers by script."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from mobiz_async.models import DataList, Outcome
from mobiz_async.testing.answers import Hold, PostedRequest, accepted
from mobiz_async.transport import OnStage
from mobiz_async.verdicts import Attempt, Failure, Stage, classify
from mobiz_async.wire import Operation, Reply, Request

__all__ = ["Answer", "FakeTransport"]

Given = Reply | Attempt | Hold
Answer = Given | Callable[[PostedRequest], Given | Awaitable[Given]]


class FakeTransport:
    """Accepts everything, unless told otherwise.

    ::

        fake = FakeTransport([throttled(retry_after=2), timeout()])
        async with MobizClient(transport=fake, clock=FakeClock(auto=True)) as mobiz:
            ...
        assert fake.records("142874") == [{"Number": "27821234567"}]

    ``answers`` are given one to each POST, in order; the POSTs after them get ``then``. An answer is a ``Reply``, an
    ``Attempt`` that failed at a stage, a ``Hold``, or a function of the ``PostedRequest``, sync or async, that returns
    one of these; the helpers in ``mobiz_async.testing`` make them. An async function is called after the body went out.
    What such a function raises is raised to the caller.
    """

    def __init__(self, answers: Iterable[Answer] = (), *, then: Answer = accepted) -> None:
        """Take the script; ``answers`` may be endless."""
        self._script = iter(answers)
        self._then = then
        self._released = asyncio.Event()
        self._changed: list[asyncio.Future[None]] = []
        self._taken: list[PostedRequest] = []
        self.requests: list[PostedRequest] = []
        """Every POST, in order, retries included."""
        self.held: int = 0
        """How many are held back at the moment."""
        self.closed: bool = False

    def __repr__(self) -> str:
        return f"<FakeTransport: {len(self.requests)} requests, {self.held} held>"

    async def post(self, request: Request, on_stage: OnStage) -> Attempt:
        """Answer one attempt by the script; see ``Transport.post``."""
        if self.closed:
            return Attempt(Stage.QUEUED, failure=Failure.CLOSED)
        posted = self._note(request)
        answer = next(self._script, self._then)
        reached = Stage.QUEUED
        made = answer(posted) if callable(answer) else answer
        if inspect.isawaitable(made):
            reached = _advance(on_stage, reached, Stage.SENT)
            made = await made
        given: Reply | Attempt
        if isinstance(made, Hold):
            reached = _advance(on_stage, reached, made.stage)
            given = await self._released_answer(made, posted)
        else:
            given = made
        attempt = given if isinstance(given, Attempt) else Attempt(Stage.SENT, given)
        _advance(on_stage, reached, attempt.stage)
        if classify(request.operation, attempt).verdict.outcome is Outcome.ACCEPTED:
            self._taken.append(posted)
        return attempt

    def _note(self, request: Request) -> PostedRequest:
        body = bytes(request.body)
        value = msgspec.json.decode(body)
        records = tuple(value) if isinstance(value, list) else (value,)
        posted = PostedRequest(len(self.requests) + 1, request.operation, dict(request.query), records, body)
        self.requests.append(posted)
        self._tell()
        return posted

    async def _released_answer(self, hold: Hold, posted: PostedRequest) -> Attempt | Reply:
        self.held += 1
        self._tell()
        try:
            await self._released.wait()
        finally:
            self.held -= 1
            self._tell()
        if self.closed:
            return Attempt(hold.stage, failure=Failure.DISCONNECTED)
        return hold.then if hold.then is not None else accepted(posted)

    def release(self) -> None:
        """Let go of everything that is held back now; what comes later is held again."""
        self._released.set()
        self._released = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as ``condition()`` holds; it is asked again whenever a POST comes, is held or let go."""
        while not condition():
            changed = asyncio.get_running_loop().create_future()
            self._changed.append(changed)
            await changed

    def _tell(self) -> None:
        waiting, self._changed = self._changed, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)

    async def aclose(self) -> None:
        """Lose what is held back; answer nothing more."""
        self.closed = True
        self._released.set()

    def records(self, list_id: DataList | str | int) -> list[dict[str, object]]:
        """Return the records whose append to the list was answered with acceptance, in order."""
        wanted = list_id.id if isinstance(list_id, DataList) else str(list_id)
        return self._accepted("list_id", wanted, Operation.APPEND)

    def triggered(self, trigger_key: str) -> list[dict[str, object]]:
        """Return the objects whose trigger, immediate or scheduled, was answered with acceptance, in order."""
        return self._accepted("trigger_key", trigger_key, Operation.TRIGGER, Operation.SCHEDULE)

    def _accepted(self, parameter: str, value: str, *operations: Operation) -> list[dict[str, object]]:
        return [
            record
            for posted in self._taken
            if posted.operation in operations and posted.query.get(parameter) == value
            for record in posted.records
        ]


def _advance(on_stage: OnStage, reached: Stage, to: Stage) -> Stage:
    for stage in Stage:
        if reached < stage <= to:
            on_stage(stage)
    return max(reached, to)
