"""A chunk refused for the caller's key or address was not applied, and goes out once those are right."""

import pytest

from mobiz_async import MobizClient, SQLiteJournal, StopReason
from mobiz_async.sandbox import Sandbox

NUMBERS = [f"2782{n:07d}" for n in range(6)]


def client(sandbox, key, path=""):
    return MobizClient("sandbox-api-key", key, base_url=sandbox.base_url + path)


@pytest.mark.parametrize(
    ("key", "path", "reason"),
    [
        ("wrong", "", StopReason.CREDENTIALS),
        ("sandbox-subscription-key", "/elsewhere", StopReason.MISDIRECTED),
    ],
)
async def test_a_run_resumed_with_the_right_key_or_address_sends_everything(tmp_path, key, path, reason):
    async with Sandbox() as sandbox:
        async with client(sandbox, key, path) as mobiz:
            first = await mobiz.send_bulk("1", NUMBERS, chunk_size=2, journal=SQLiteJournal(tmp_path / "j"))
        async with client(sandbox, "sandbox-subscription-key") as mobiz:
            again = await mobiz.send_bulk("1", NUMBERS, chunk_size=2, journal=SQLiteJournal(tmp_path / "j"))
    assert (first.stopped, first.rejected, first.requests) == (reason, 2, 1)
    assert (again.ok, again.accepted, sandbox.applied("1")) == (True, 6, dict.fromkeys(NUMBERS, 1))
