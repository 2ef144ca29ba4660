"""A pacer on a clock that stands still until a test moves it, and tasks that ask it for permits."""

from __future__ import annotations

import asyncio
import contextlib
import math

import attrs

from mobiz_async.models import Pace
from mobiz_async.pacing import Lane, Pacer
from mobiz_async.testing import FakeClock


@attrs.define
class Stand:
    """A pacer, its clock, and the permits of everybody who asked, in the order they got them."""

    pace: Pace
    clock: FakeClock = attrs.field(factory=FakeClock)
    pacer: Pacer = attrs.field(init=False)
    got: list = attrs.field(factory=list)
    tasks: list = attrs.field(factory=list)
    longest_pause: float = math.inf

    def __attrs_post_init__(self):
        self.pacer = Pacer(self.pace, self.clock, longest_pause=self.longest_pause)

    async def ask(self, count=1, lane=Lane.BULK, records=1):
        """Let ``count`` tasks ask; return the new tasks."""

        async def one(number):
            permit = await self.pacer.admit(lane, records)
            self.got.append((number, self.clock.monotonic(), permit))

        begin = len(self.tasks)
        new = [asyncio.create_task(one(begin + number)) for number in range(count)]
        self.tasks.extend(new)
        await self.clock.settle()
        return new

    @property
    def numbers(self):
        return [number for number, _, _ in self.got]

    @property
    def times(self):
        return [time for _, time, _ in self.got]

    def permit(self, position=-1):
        return self.got[position][2]


@contextlib.asynccontextmanager
async def stands():
    """A factory of stands, whose tasks are ended with it."""
    made = []

    def make(longest_pause=math.inf, **options):
        made.append(Stand(Pace(**options), longest_pause=longest_pause))
        return made[-1]

    yield make
    tasks = [task for each in made for task in each.tasks]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
