"""Every fault: what the peer saw, and whether the send was applied."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import json
import tracemalloc

import aiohttp
import pytest

from mobiz_async.sandbox import FACTS, Fault, Faults, Injection, Sandbox
from mobiz_async.sandbox.timing import Progress

BODY = json.dumps([{"Number": f"2782{n:07}", "Message": "x" * 100} for n in range(2_000)]).encode()
SUCCESS = {"status": 1, "message": "Data Appended"}
RESET = ConnectionResetError

SEEN = {
    Fault.RESET_MID_BODY: RESET,
    Fault.EARLY_413: (413, {"statusCode": 413, "message": "Request Entity Too Large"}),
    Fault.RESET_UNAPPLIED: RESET,
    Fault.ERROR_500_UNAPPLIED: (
        500,
        {
            "statusCode": 500,
            "message": "Internal server error",
            "activityId": "0a1b2c3d-0000-4000-8000-5a6b7c8d9e0f",
        },
    ),
    Fault.RESET_AFTER_APPLY: RESET,
    Fault.CLOSE_AFTER_APPLY: b"",
    Fault.ERROR_500_AFTER_APPLY: (
        500,
        {
            "statusCode": 500,
            "message": "Internal server error",
            "activityId": "0a1b2c3d-0000-4000-8000-5a6b7c8d9e0f",
        },
    ),
    Fault.ERROR_502_AFTER_APPLY: (
        502,
        b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>",
    ),
    Fault.ERROR_504_AFTER_APPLY: (504, {"statusCode": 504, "message": "Gateway Timeout"}),
    Fault.UNAVAILABLE_AFTER_APPLY: (503, {"statusCode": 503, "message": "Service Unavailable"}),
    Fault.TRUNCATED_AFTER_APPLY: (
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n{"status": 1, "messa'
    ),
    Fault.GARBAGE_AFTER_APPLY: b"\x16\x03\x01 this is not HTTP \x00\xff\r\n\r\n",
    Fault.HALF_STATUS_LINE_AFTER_APPLY: b"HTTP/1.1 20",
    Fault.HTML_200_AFTER_APPLY: (200, b"<!doctype html><title>Sign in</title><p>Sign in to use this network.</p>"),
    Fault.FIELDLESS_200_AFTER_APPLY: (200, {"result": "ok"}),
    Fault.EMPTY_200_AFTER_APPLY: (200, b""),
    Fault.EMPTY_202: (202, b""),
    Fault.FEWER_IDS: (200, SUCCESS),
    Fault.CLOSE_AFTER_ANSWER: (200, SUCCESS),
    Fault.CLOSE_ON_REUSE: (200, SUCCESS),
    Fault.THROTTLE: (429, {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 1 seconds."}),
    Fault.THROTTLE_DATE: (429, {"statusCode": 429, "message": "Rate limit is exceeded."}),
    Fault.THROTTLE_BARE: (429, {"statusCode": 429, "message": "Rate limit is exceeded."}),
    Fault.UNAVAILABLE: (503, {"statusCode": 503, "message": "Service Unavailable"}),
    Fault.UNAVAILABLE_RETRY_AFTER: (503, {"statusCode": 503, "message": "Service Unavailable"}),
    Fault.UNAUTHORIZED: (
        401,
        {
            "statusCode": 401,
            "message": "Access denied due to invalid subscription key. Make sure to provide a valid key for an active "
            "subscription.",
        },
    ),
    Fault.QUOTA: (
        403,
        {"statusCode": 403, "message": "Out of call volume quota. Quota will be replenished in 00:00:01."},
    ),
    Fault.REDIRECT_301: (301, b""),
    Fault.REDIRECT_307: (307, b""),
    Fault.REJECTED_200: (200, {"status": 0, "message": "Data not appended"}),
    Fault.ERROR_400_LOGIC_APPS: (
        400,
        {"error": {"code": "InvalidRequestContent", "message": "The request content is not valid."}},
    ),
}
TESTED_APART = {Fault.HANG_AFTER_APPLY, Fault.HANG_UNAPPLIED, Fault.SLOW_ANSWER, Fault.CLOSE_BEFORE_READING}


def understood(raw, *, verbatim):
    """Bytes as (status, JSON or body), unless the test wants them as they came."""
    if verbatim or not isinstance(raw, bytes):
        return raw
    head, _, body = raw.partition(b"\r\n\r\n")
    with contextlib.suppress(ValueError):
        body = json.loads(body)
    return int(head.split(b" ")[1]), body


def test_every_fault_has_its_facts_and_a_test():
    assert set(Fault) == set(FACTS)
    assert set(Fault) == set(SEEN) | TESTED_APART


@pytest.mark.parametrize("fault", sorted(SEEN))
async def test_the_peer_sees_what_the_fault_says_and_the_send_is_applied_as_the_table_says(
    fault, sandbox, peer, post_bytes
):
    sandbox.faults = Faults.script([fault])

    raw = await peer.raw(post_bytes(BODY))

    expected = SEEN[fault]
    assert expected == understood(raw, verbatim=isinstance(expected, bytes))
    applied = FACTS[fault].applied
    assert (applied, 2_000 if applied else 0) == (sandbox.requests[0].applied, sandbox.applied_total)
    assert fault is sandbox.requests[0].fault
    assert int(applied) == sandbox.times_applied(BODY)


@pytest.mark.parametrize("fault", sorted(SEEN))
async def test_after_a_fault_the_next_request_is_served_as_ever(fault, sandbox, peer, post_bytes):
    sandbox.faults = Faults.script([fault])
    await peer.raw(post_bytes(BODY))

    raw = await peer.raw(post_bytes(b'[{"Number": "27820000000"}]'))

    assert understood(raw, verbatim=False) == (200, SUCCESS)


async def test_close_before_reading_takes_nothing_of_the_body_and_applies_nothing(sandbox, peer, post_bytes):
    sandbox.faults = Faults.script([Fault.CLOSE_BEFORE_READING])

    raw = await peer.raw(post_bytes(BODY))

    assert raw in (b"", RESET)  # FIN, or RST when the kernel still holds unread bytes
    assert (
        sandbox.requests[0].digest,
        sandbox.requests[0].size,
        sandbox.requests[0].status,
        sandbox.requests[0].applied,
    ) == (None, 0, None, False)


async def test_with_expect_100_a_server_that_goes_away_first_gets_no_body(sandbox, peer, post_bytes):
    sandbox.faults = Faults.script([Fault.CLOSE_BEFORE_READING])

    raw = await peer.raw(post_bytes(BODY, extra="Expect: 100-continue\r\n")[: -len(BODY)])

    assert raw == b""


async def test_expect_100_is_answered_before_the_body_is_read(sandbox, post_bytes):
    host, port = sandbox.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    whole = post_bytes(BODY, extra="Expect: 100-continue\r\nConnection: close\r\n")
    writer.write(whole[: -len(BODY)])

    interim = await reader.readuntil(b"\r\n\r\n")
    writer.write(BODY)
    final = await reader.read()
    writer.close()

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert understood(final, verbatim=False) == (200, SUCCESS)


@pytest.mark.parametrize("fault", [Fault.HANG_AFTER_APPLY, Fault.HANG_UNAPPLIED])
async def test_a_hanging_request_is_seen_while_it_hangs_and_closed_on_release(fault, sandbox, peer, post_bytes):
    sandbox.faults = Faults.script([fault])
    hanging = asyncio.ensure_future(peer.raw(post_bytes(BODY)))
    await sandbox.until(lambda: sandbox.held == 1)

    while_held = sandbox.requests[0]
    sandbox.release()

    assert await hanging == b""
    assert (fault.applied, None) == (while_held.applied, while_held.status)
    assert sandbox.held == 0


@pytest.mark.parametrize("fault", [Fault.HANG_AFTER_APPLY, Fault.HANG_UNAPPLIED, Fault.SLOW_ANSWER])
async def test_a_request_is_held_no_longer_than_its_peer_is_there(fault, clock, peer_of, post_bytes):
    async with Sandbox(faults=Faults.always(fault), clock=clock) as sandbox:
        going, staying = (asyncio.ensure_future(peer_of(sandbox).raw(post_bytes(BODY))) for _ in range(2))
        await sandbox.until(lambda: sandbox.held == 2)
        going.cancel()
        await sandbox.until(lambda: sandbox.held == 1)

        assert [fault.applied] * 2 == [seen.applied for seen in sandbox.requests]
        assert not staying.done()
        sandbox.release()
        await staying


class Gone(asyncio.Transport):
    def is_closing(self):
        return True


async def test_a_peer_that_has_gone_before_its_request_could_be_held_does_not_hold_it(clock):
    progress = Progress(clock)
    seen = asyncio.ensure_future(progress.until(lambda: progress.held == 1))  # it is, for a moment
    await asyncio.sleep(0)

    await progress.hold(Gone(), None)

    await seen
    assert progress.held == 0


async def test_a_request_that_is_held_keeps_neither_its_body_nor_its_records(sandbox, peer, post_bytes):
    sandbox.faults = Faults.always(Fault.HANG_UNAPPLIED)
    whole = post_bytes(BODY)
    tracemalloc.start()
    hanging = [asyncio.ensure_future(peer.raw(whole)) for _ in range(8)]
    await sandbox.until(lambda: sandbox.held == 8)
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    sandbox.release()
    await asyncio.gather(*hanging)

    assert used < 4 * len(BODY)


async def test_closing_the_sandbox_lets_go_of_what_hangs(peer_of, post_bytes):
    async with Sandbox(faults=Faults.always(Fault.HANG_AFTER_APPLY)) as sandbox:
        hanging = asyncio.ensure_future(peer_of(sandbox).raw(post_bytes(BODY)))
        await sandbox.until(lambda: sandbox.held == 1)

    assert await hanging == b""
    assert sandbox.applied_total == 2_000


async def test_a_slow_answer_waits_by_the_clock_that_was_handed_in(clock, peer_of, post_bytes):
    async with Sandbox(faults=Faults.script([Injection(Fault.SLOW_ANSWER, delay=42.0)]), clock=clock) as sandbox:
        slow = asyncio.ensure_future(peer_of(sandbox).raw(post_bytes(BODY)))
        await sandbox.until(lambda: sandbox.held == 1 and sandbox.requests[0].applied)
        assert not slow.done()
        clock.wake.set()

        assert understood(await slow, verbatim=False) == (200, SUCCESS)
        assert clock.slept == [42.0]


async def test_release_ends_a_slow_answer_too(clock, peer_of, post_bytes):
    async with Sandbox(faults=Faults.always(Fault.SLOW_ANSWER), clock=clock) as sandbox:
        slow = asyncio.ensure_future(peer_of(sandbox).raw(post_bytes(BODY)))
        await sandbox.until(lambda: sandbox.held == 1)
        sandbox.release()

        assert understood(await slow, verbatim=False) == (200, SUCCESS)


async def test_reset_in_the_middle_of_the_body_comes_before_the_rest_was_sent(sandbox, post_bytes):
    sandbox.faults = Faults.script([Fault.RESET_MID_BODY])
    host, port = sandbox.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    whole = post_bytes(BODY)
    writer.write(whole[: len(whole) - 1_000])

    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()

    assert sandbox.applied_total == 0


async def test_an_early_413_comes_while_the_body_is_still_going_out(sandbox, post_bytes):
    sandbox.faults = Faults.script([Fault.EARLY_413])
    host, port = sandbox.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(post_bytes(BODY, extra="")[: -len(BODY)])

    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in head


async def test_close_after_answer_says_nothing_of_closing(sandbox, peer, post_bytes):
    sandbox.faults = Faults.script([Fault.CLOSE_AFTER_ANSWER])

    raw = await peer.raw(post_bytes(BODY, extra=""))  # read to its end, although the peer asked to keep it

    assert understood(raw, verbatim=False) == (200, SUCCESS)
    assert b"close" not in raw.partition(b"\r\n\r\n")[0].lower()


async def test_close_on_reuse_closes_the_next_request_of_that_connection_and_does_not_apply_it(sandbox, peer):
    sandbox.faults = Faults.script([Fault.CLOSE_ON_REUSE])
    first = await peer.append([{"Number": "27821234567"}])

    with pytest.raises(aiohttp.ClientError):
        await peer.append([{"Number": "27827654321"}])

    assert first.status == 200
    assert [(seen.status, seen.applied) for seen in sandbox.requests] == [(200, True), (None, False)]
    assert sandbox.applied("1") == {"27821234567": 1}


@pytest.mark.parametrize("fault", [Fault.REDIRECT_301, Fault.REDIRECT_307])
async def test_a_redirect_points_elsewhere_with_the_query_and_what_follows_it_is_counted(fault, sandbox, peer):
    sandbox.faults = Faults.script([fault])

    reply = await peer.append([{"Number": "27821234567"}])
    await peer.post(reply.headers["Location"], b"12345")
    await peer.get(reply.headers["Location"])

    assert reply.headers["Location"] == "/sandbox/elsewhere?api_key=sandbox-api-key&list_id=1"
    assert (sandbox.elsewhere.posts, sandbox.elsewhere.others, sandbox.elsewhere.bytes) == (1, 1, 5)
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.THROTTLE, "7"),
        (Fault.UNAVAILABLE_RETRY_AFTER, "7"),
        (Fault.QUOTA, "7"),
        (Fault.THROTTLE_DATE, "Fri, 15 Jan 2027 08:00:07 GMT"),
        (Fault.THROTTLE_BARE, None),
        (Fault.UNAVAILABLE, None),
        (Fault.UNAVAILABLE_AFTER_APPLY, None),
    ],
)
async def test_retry_after_says_what_the_injection_says(fault, expected, clock, peer_of):
    async with Sandbox(faults=Faults.always(Injection(fault, retry_after=6.5)), clock=clock) as sandbox:
        reply = await peer_of(sandbox).append([{"Number": "27821234567"}])

    assert expected == reply.headers.get("Retry-After")


async def test_fewer_ids_leaves_out_one_entry_of_a_triggers_acceptance(sandbox, peer):
    sandbox.faults = Faults.always(Fault.FEWER_IDS)

    reply = await peer.trigger([{"A": "27821234567"}, {"A": "27827654321"}])

    assert (len(reply.json["Message_Status"]), reply.json["Result_Code"]) == (1, 3)
    assert len(sandbox.messages) == 2


async def test_an_acceptance_without_a_body_has_no_id_to_leave_out(peer_of):
    async with Sandbox(empty_202=True, faults=Faults.always(Fault.FEWER_IDS)) as sandbox:
        reply = await peer_of(sandbox).trigger({"A": "27821234567"})

    assert (reply.status, reply.body, len(sandbox.messages)) == (202, b"", 1)


async def test_a_rejection_under_a_200_speaks_the_triggers_language_too(sandbox, peer):
    sandbox.faults = Faults.always(Fault.REJECTED_200)

    reply = await peer.trigger({"A": "27821234567"})

    assert (reply.status, reply.json["Result_Code"]) == (200, 2)
    assert sandbox.applied_total == 0


@pytest.mark.parametrize("fault", [Fault.EMPTY_202, Fault.FEWER_IDS])
async def test_a_refusal_is_never_worded_as_an_acceptance(fault, sandbox, peer):
    sandbox.faults = Faults.always(fault)

    reply = await peer.trigger({"B": "no phone"})

    assert (reply.status, reply.json["Result_Code"]) == (400, 4)


async def test_an_invalid_send_is_not_applied_by_a_fault_that_applies(sandbox, peer, post_bytes):
    sandbox.faults = Faults.always(Fault.RESET_AFTER_APPLY)

    raw = await peer.raw(post_bytes(b"[{}]"))

    assert (raw, sandbox.requests[0].applied) == (RESET, False)


async def test_a_fault_meets_api_requests_only(sandbox, peer):
    sandbox.faults = Faults.always(Fault.UNAVAILABLE)

    assert [(await peer.get("/sandbox/summary")).status, (await peer.get("/nowhere")).status] == [200, 404]


async def test_refuse_turns_new_connections_away_and_accept_takes_them_on_the_same_port(sandbox, peer):
    await peer.append([{"Number": "27821234567"}])  # leaves an idle connection in the pool
    address = sandbox.base_url

    await sandbox.refuse()
    await sandbox.refuse()  # twice is as good as once
    with pytest.raises(aiohttp.ClientConnectionError):
        await peer.append([{"Number": "27820000001"}])
    with pytest.raises(ConnectionRefusedError):
        await peer.raw(b"")
    await sandbox.accept()
    await sandbox.accept()

    assert (await peer.append([{"Number": "27820000002"}])).status == 200
    assert address == sandbox.base_url
    assert sandbox.applied("1") == {"27821234567": 1, "27820000002": 1}


async def test_a_request_under_way_while_refusing_is_answered_and_its_connection_closed(clock, peer_of, post_bytes):
    async with Sandbox(faults=Faults.always(Fault.SLOW_ANSWER), clock=clock) as sandbox:
        slow = asyncio.ensure_future(peer_of(sandbox).raw(post_bytes(BODY, extra="")))
        await sandbox.until(lambda: sandbox.held == 1)
        await sandbox.refuse()
        sandbox.release()

        assert understood(await slow, verbatim=False) == (200, SUCCESS)


async def test_a_body_cut_short_by_its_sender_is_seen_and_not_applied(sandbox, post_bytes):
    host, port = sandbox.base_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(post_bytes(BODY)[:-1_000])
    await writer.drain()
    await sandbox.until(lambda: len(sandbox.requests) == 1)
    writer.close()
    await sandbox.until(lambda: not sandbox._gateway.busy)

    assert (
        sandbox.requests[0].applied,
        sandbox.requests[0].status,
        sandbox.requests[0].digest,
    ) == (False, None, None)


async def test_the_digest_of_a_request_is_that_of_its_bytes(sandbox, peer, post_bytes):
    await peer.raw(post_bytes(BODY))

    digest = hashlib.sha256(BODY).hexdigest()
    assert (digest, len(BODY), 1) == (
        sandbox.requests[0].digest,
        sandbox.requests[0].size,
        sandbox.times_applied(digest),
    )
