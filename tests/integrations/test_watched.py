"""Under Sentry, OpenTelemetry's aiohttp instrumentation and asyncio's debug mode, no key and no recipient is recorded.

Every way in which a request can end is run once, by a program of its own; each test looks at what was recorded of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mobiz_async.sandbox import Fault

PROGRAM = Path(__file__).with_name("watched_program.py")
KEYS = ("sentinel-api-key", "sentinel-subscription-key")
PRIVATE = (*KEYS, "sentinel-trigger-key", "27829998877", "sentinel-text")

ENDS = {
    "wrong_api_key/trigger": "AuthenticationError",
    "wrong_subscription_key/trigger": "AuthenticationError",
    "no_tls/trigger": "ConnectError",
    "refused/trigger": "ConnectError",
    "refused/send_bulk": "ConnectError",
    "connect_timeout/trigger": "ConnectError",
    "interrupted/with_timeout": "TimeoutError",
    "interrupted/cancelled": "CancelledError",
    "interrupted/cancelled_run": "CancelledError",
    "interrupted/closed": "OutcomeUnknownError",
    "bad_records/bad_trigger": "InvalidRecordError",
    "bad_records/bad_append": "InvalidRecordError",
    "bad_records/bad_run": "InvalidRecordError",
    "bad_records/bad_source": "SourceError",
}
"""Ends that are no fault's."""
REFUSED = "bad_records/bad_trigger"


@pytest.fixture(scope="module")
def recorded():
    """Case to how it ended and what was seen of it."""
    environment = {**os.environ, "PYTHONASYNCIODEBUG": "1", "PYTHONWARNINGS": "ignore::DeprecationWarning:sentry_sdk"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def shown(result, texts):
    return {where: found for where, seen in result["seen"].items() if (found := [t for t in texts if t in seen])}


def cases():
    faults = [f"{fault.value}/{operation}" for fault in Fault for operation in ("trigger", "append", "send_bulk")]
    return [*faults, *ENDS]


@pytest.mark.parametrize("case", cases())
def test_nobody_who_watches_sees_a_key_or_a_recipient(recorded, case):
    found = shown(recorded[case], PRIVATE)

    # The frame of the call that refuses a record has the trigger key that the caller's own frame has, and no more.
    assert all(texts == ["sentinel-trigger-key"] for texts in found.values()) if case == REFUSED else found == {}


@pytest.mark.parametrize(("case", "error"), ENDS.items())
def test_the_cases_end_as_they_are_meant_to(recorded, case, error):
    assert recorded[case]["ended"] == error


@pytest.mark.parametrize("case", [case for case in cases() if not case.startswith("bad_records")])
def test_everybody_did_watch(recorded, case):
    seen = recorded[case]["seen"]

    assert "127.0.0.1" in seen["spans"]
    assert "mobiz.verdict" in seen["spans"]
    assert "asyncio Execut" in seen["log"]
    assert '"transaction":"handler"' in seen["sentry"]
    assert recorded[case]["ended"] == "accepted" or recorded[case]["ended"] in seen["sentry"]


@pytest.mark.parametrize("case", ["slow_answer/trigger", "throttle/append", "error_500_after_apply/send_bulk"])
def test_sentry_has_spans_of_its_own_where_there_was_an_answer(recorded, case):
    assert '"op":"http.client"' in recorded[case]["seen"]["sentry"]


def test_no_case_is_left_out(recorded):
    assert set(recorded) == {*cases(), "by_hand"}


def test_the_watchers_do_see_the_keys_of_a_program_that_takes_no_care(recorded):
    assert shown(recorded["by_hand"], KEYS) == {
        "sentry": ["sentinel-api-key"],
        "spans": ["sentinel-api-key", "sentinel-subscription-key"],
        "frames": ["sentinel-api-key"],
    }
