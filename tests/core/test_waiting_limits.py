"""How long a chunk waits for its turn, and how often a callback's exception is raised."""

import asyncio

import pytest
from fakes import Network, accepted, client_on, numbers

from mobiz_async import RetryPolicy
from mobiz_async.delivery import Deliverer
from mobiz_async.models import Pace
from mobiz_async.pacing import Lane, Pacer
from mobiz_async.testing import FakeClock
from mobiz_async.verdicts import Verdict
from mobiz_async.wire import append_request


@pytest.mark.parametrize("with_halt", [False, True])
async def test_the_policys_deadline_bounds_the_wait_for_a_permit(with_halt):
    clock = FakeClock(auto=True)
    await clock.sleep(100.0)  # a client is used at any time, and not just when its clock begins
    pacer = Pacer(Pace(), clock)
    pacer.pause(60.0)
    deliverer = Deliverer(Network(accepted), pacer, RetryPolicy(deadline=10.0), clock)
    halt = asyncio.Event() if with_halt else None
    started = clock.monotonic()
    delivery = await deliverer.deliver(append_request("1", b"[]", 1), Lane.BULK, halt=halt)
    assert (delivery.judged.verdict, clock.monotonic() - started, pacer.in_flight) == (Verdict.NOT_STARTED, 10.0, 0)


async def test_a_callbacks_exception_is_raised_once():
    def fail(_):
        raise LookupError("the caller's own")

    caught = 0
    async with client_on(Network(accepted)) as mobiz, mobiz.bulk("1", numbers(3), progress=fail) as run:
        try:
            async for _ in run:
                pass
        except LookupError:
            caught += 1
    assert (caught, run.report.read) == (1, 3)
