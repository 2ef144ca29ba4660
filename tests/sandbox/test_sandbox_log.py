"""The log of what was applied: on the disk before the answer."""

from __future__ import annotations

import hashlib
import os

import pytest

from mobiz_async.sandbox import Fault, Faults, Sandbox, read_log
from mobiz_async.sandbox.logfile import AppliedLog


async def test_each_applied_request_has_a_line_with_the_values_of_the_number_field(tmp_path, peer_of, clock):
    path = tmp_path / "applied.log"
    body = b'[{"Number": "27820000001"}, {"Number": 27820000002}]'
    async with Sandbox(log=path, clock=clock) as sandbox:
        peer = peer_of(sandbox)
        await peer.append(body)
        await peer.append(b"[{}]")
        await peer.trigger({"A": "27820000003"}, "trigger_key=sandbox-trigger&send_time=1900000000")
        await peer.trigger({"A": "27820000004"})
        await peer.create("Spring", {"Number": "msisdn"})

    append, schedule, trigger, create = read_log(path)
    assert (append.sequence, append.operation, append.list_id, append.records) == (1, "SendBulkMessages", "1", 2)
    assert (append.digest, append.time) == (hashlib.sha256(body).hexdigest(), clock.now)
    assert (append.identities, append.first, append.last) == (
        ("27820000001", "27820000002"),
        "27820000001",
        "27820000002",
    )
    assert (schedule.operation, schedule.send_time, schedule.identities) == (
        "Schedule Message",
        "1900000000",
        ("27820000003",),
    )
    assert (trigger.operation, trigger.send_time, trigger.list_id) == ("TriggerMessage", None, None)
    assert (create.operation, create.list_id, create.records, create.first) == (
        "Creating a Data List",
        "142874",
        0,
        None,
    )


async def test_the_line_is_on_the_disk_while_the_answer_is_still_held_back(tmp_path, peer_of, post_bytes, monkeypatch):
    path = tmp_path / "applied.log"
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    async with Sandbox(log=path, faults=Faults.always(Fault.RESET_AFTER_APPLY)) as sandbox:
        seen = await peer_of(sandbox).raw(post_bytes(b'[{"Number": "27820000001"}]'))

    assert (seen, len(read_log(path))) == (ConnectionResetError, 1)
    assert synced == [path.stat().st_size]


async def test_the_log_holds_no_key_and_is_for_its_owner_alone(tmp_path, peer_of):
    path = tmp_path / "applied.log"
    async with Sandbox(log=path) as sandbox:
        await peer_of(sandbox).trigger({"A": "27820000004"})

    text = path.read_text()
    assert not [key for key in ("sandbox-api-key", "sandbox-subscription-key", "sandbox-trigger") if key in text]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_chosen_identity_stands_in_the_log_in_place_of_the_number(tmp_path, peer_of):
    async with Sandbox(log=tmp_path / "log", identity="Id") as sandbox:
        await peer_of(sandbox).append([{"Number": "27820000001", "Id": "a"}, {"Number": "27820000001", "Id": "b"}])

    assert read_log(tmp_path / "log")[0].identities == ("a", "b")


async def test_what_cannot_be_logged_is_not_applied(tmp_path, peer_of, monkeypatch, caplog):
    async with Sandbox(log=tmp_path / "log") as sandbox:
        monkeypatch.setattr(AppliedLog, "write", _disk_full)
        reply = await peer_of(sandbox).append([{"Number": "27820000001"}])

    assert (reply.status, sandbox.applied_total) == (500, 0)
    assert "27820000001" not in caplog.text


def _disk_full(*_):
    raise OSError(28, "No space left on device")


def test_a_log_that_was_cut_short_is_read_without_its_last_line_and_goes_on_after_it(tmp_path):
    path = tmp_path / "log"
    log = AppliedLog(path)
    log.write(1.0, "SendBulkMessages", "1", "00", ["1"])
    log.close()
    log.close()
    with path.open("ab") as file:
        file.write(b'{"sequence": 2, "ti')

    cut = read_log(path)
    again = AppliedLog(path)
    again.write(2.0, "SendBulkMessages", "1", "00", ["2"])
    again.close()

    assert [entry.identities for entry in cut] == [("1",)]
    assert [(entry.sequence, entry.identities) for entry in read_log(path)] == [(1, ("1",)), (2, ("2",))]


def test_no_file_is_an_empty_log(tmp_path):
    assert read_log(tmp_path / "none") == []


async def test_a_log_that_cannot_be_opened_is_an_oserror(tmp_path):
    with pytest.raises(OSError, match=r".+"):
        async with Sandbox(log=tmp_path):
            pytest.fail("a directory is no log")
