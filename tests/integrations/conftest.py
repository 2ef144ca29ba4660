"""Events as a client makes them, and a client on a network that is none."""

from __future__ import annotations

import pytest

from mobiz_async import AttemptEvent, MobizClient, Outcome
from mobiz_async.testing import FakeClock, FakeTransport


def _event(**changes):
    settings = {
        "operation": "SendBulkMessages",
        "outcome": Outcome.ACCEPTED,
        "verdict": "accepted",
        "status": 200,
        "records": 10_000,
        "seconds": 0.25,
        "attempt": 1,
        "bytes": 1234,
    }
    return AttemptEvent(**{**settings, **changes})


@pytest.fixture
def event():
    return _event


@pytest.fixture
def throttled_event():
    return _event(outcome=Outcome.NOT_SENT, verdict="throttled", status=429, retry_in=2.0)


@pytest.fixture
def fake_client():
    """A client of a ``FakeTransport`` with the given answers and hooks."""

    def make(answers, *hooks, **settings):
        return MobizClient(transport=FakeTransport(answers), clock=FakeClock(auto=True), events=hooks, **settings)

    return make
