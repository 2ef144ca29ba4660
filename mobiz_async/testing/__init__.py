"""Aids for the tests of programs that use mobiz_async.

``FakeTransport`` answers without a network, ``FakeClock`` passes time without waiting, and with pytest the fixtures
``mobiz_sandbox`` and ``mobiz_client`` give a local server and a client of it.
"""

from mobiz_async.testing.answers import (
    Hold,
    PostedRequest,
    accepted,
    json_reply,
    lost,
    no_connection,
    quota_exceeded,
    rejected,
    server_error,
    throttled,
    timeout,
    unauthorized,
)
from mobiz_async.testing.clock import FakeClock
from mobiz_async.testing.transport import Answer, FakeTransport
from mobiz_async.verdicts import Attempt, Failure, Stage
from mobiz_async.wire import Reply

__all__ = [
    "Answer",
    "Attempt",
    "Failure",
    "FakeClock",
    "FakeTransport",
    "Hold",
    "PostedRequest",
    "Reply",
    "Stage",
    "accepted",
    "json_reply",
    "lost",
    "no_connection",
    "quota_exceeded",
    "rejected",
    "server_error",
    "throttled",
    "timeout",
    "unauthorized",
]
