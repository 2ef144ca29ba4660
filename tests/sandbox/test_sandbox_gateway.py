"""The gateway in front: keys, paths, limits, and who came back too early."""

from __future__ import annotations

import ssl

import aiohttp
import pytest
import trustme

from mobiz_async.sandbox import EveryNth, Fault, Faults, Injection, Quota, RateLimit, Sandbox
from mobiz_async.sandbox.limits import Backoff

APPEND = "/customers/CustomerList-append?api_key=sandbox-api-key&list_id=1"
ROW = [{"Number": "27821234567"}]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (
            {},
            (
                "Access denied due to missing subscription key. Make sure to include subscription key when making "
                "requests to an API."
            ),
        ),
        (
            {"Ocp-Apim-Subscription-Key": "wrong"},
            (
                "Access denied due to invalid subscription key. Make sure to provide a valid key for an active "
                "subscription."
            ),
        ),
    ],
)
async def test_without_its_key_the_gateway_answers_401_and_nothing_is_applied(key, text, sandbox, peer):
    reply = await peer.post(APPEND, ROW, headers={"Content-Type": "application/json", **key})

    assert (401, {"statusCode": 401, "message": text}) == (reply.status, reply.json)
    assert reply.headers["WWW-Authenticate"] == (
        f'AzureApiManagementKey realm="{sandbox.base_url}",name="Ocp-Apim-Subscription-Key",type="header"'
    )
    assert sandbox.applied_total == 0


async def test_with_a_certificate_it_is_https():
    authority = trustme.CA()
    server, peer = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(peer)
    connector = aiohttp.TCPConnector(ssl=peer)
    async with Sandbox(ssl_context=server) as sandbox, aiohttp.ClientSession(connector=connector) as session:
        async with session.post(sandbox.base_url + APPEND, json=ROW) as refused:
            challenge = refused.headers["WWW-Authenticate"]
        async with session.post(
            sandbox.base_url + APPEND, json=ROW, headers={"Ocp-Apim-Subscription-Key": "sandbox-subscription-key"}
        ) as taken:
            assert taken.status == 200

    assert sandbox.base_url.startswith("https://127.0.0.1:")
    assert f'realm="{sandbox.base_url}"' in challenge
    assert sandbox.applied("1") == {"27821234567": 1}


@pytest.mark.parametrize("path", ["/customers", "/customers/CustomerList-append/", "/triggermessage", "/favicon.ico"])
async def test_an_unknown_path_is_404(path, peer):
    reply = await peer.post(path, ROW)

    assert (reply.status, reply.json) == (404, {"statusCode": 404, "message": "Resource not found"})


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_wrong_method_matches_no_operation(method, sandbox, peer):
    reply = await peer.call(method, APPEND)

    assert (reply.status, reply.json) == (404, {"statusCode": 404, "message": "Resource not found"})
    assert (method, False) == (sandbox.requests[0].method, sandbox.requests[0].applied)


@pytest.mark.parametrize("more", [{"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}])
async def test_a_body_that_is_not_declared_as_plain_json_is_415(more, peer, sandbox):
    headers = {"Ocp-Apim-Subscription-Key": "sandbox-subscription-key", "Content-Type": "application/json", **more}

    reply = await peer.post(APPEND, b"[]", headers=headers)

    assert (reply.status, reply.json) == (415, {"statusCode": 415, "message": "Unsupported Media Type"})


@pytest.mark.parametrize("query", ["list_id=1&list_id=2", "list_id", "list_id=%FF"])
async def test_a_query_that_cannot_be_read_one_way_only_is_400(query, peer, post_bytes):
    raw = await peer.raw(post_bytes(b"[]", path=f"/customers/CustomerList-append?{query}"))

    assert raw.startswith(b"HTTP/1.1 400 ")


async def test_the_keys_are_left_out_of_what_is_remembered(sandbox, peer):
    await peer.append(ROW)
    await peer.trigger({"A": "27821234567"})

    assert [seen.query for seen in sandbox.requests] == [{"list_id": "1"}, {}]
    assert "sandbox-api-key" not in repr(sandbox.requests)


async def test_a_body_above_the_limit_is_413_whether_it_declares_its_length_or_not(peer_of):
    async with Sandbox(max_body=100) as sandbox:
        peer = peer_of(sandbox)
        at_limit = await peer.append(b'[{"Number": "27821234567", "Message": "' + b"x" * 58 + b'"}]')
        declared = await peer.append(b"x" * 101)

        async def pieces():
            for _ in range(11):
                yield b"x" * 10

        async with peer.session.post(
            sandbox.base_url + APPEND, data=pieces(), headers={"Content-Type": "application/json"}
        ) as response:
            chunked = response.status

    assert [at_limit.status, declared.status, chunked] == [200, 413, 413]
    assert declared.json == {"statusCode": 413, "message": "Request Entity Too Large"}
    assert (sandbox.requests[0].size, sandbox.applied_total) == (100, 1)


async def test_more_requests_than_the_window_allows_are_429_until_it_has_moved_on(clock, peer_of):
    async with Sandbox(rate_limit=RateLimit(2, 10.0), clock=clock) as sandbox:
        peer = peer_of(sandbox)
        statuses = [(await peer.append(ROW)).status for _ in range(2)]
        clock.now += 3.5
        refused = await peer.append(ROW)
        clock.now += 6.5
        statuses.append((await peer.append(ROW)).status)

    assert statuses == [200, 200, 200]
    assert (
        refused.status,
        refused.headers["Retry-After"],
        refused.json,
    ) == (429, "7", {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 7 seconds."})
    assert sandbox.applied_total == 3


async def test_every_nth_request_is_429(peer_of):
    async with Sandbox(rate_limit=EveryNth(2, retry_after=3)) as sandbox:
        replies = [await peer_of(sandbox).append(ROW) for _ in range(4)]

    assert [reply.status for reply in replies] == [200, 429, 200, 429]
    assert replies[1].headers["Retry-After"] == "3"
    assert sandbox.applied_total == 2


async def test_a_used_up_quota_is_403_for_good(peer_of):
    async with Sandbox(quota=Quota(1, retry_after=90_061), rate_limit=EveryNth(100)) as sandbox:
        replies = [await peer_of(sandbox).append(ROW) for _ in range(3)]

    assert [reply.status for reply in replies] == [200, 403, 403]
    assert (
        replies[1].headers["Retry-After"],
        replies[1].json["message"],
    ) == ("90061", "Out of call volume quota. Quota will be replenished in 25:01:01.")


async def test_a_body_that_comes_back_before_it_was_told_to_is_a_violation(clock, peer_of):
    faults = Faults.script([Injection(Fault.THROTTLE, retry_after=5), None])
    async with Sandbox(faults=faults, clock=clock) as sandbox:
        peer = peer_of(sandbox)
        await peer.append(ROW)
        clock.now += 4.0
        await peer.append(ROW)

    assert [(seen.number, seen.early_by, seen.during_backoff) for seen in sandbox.early] == [(2, 1.0, 1.0)]
    assert sandbox.summary()["requests"]["early"] == 1


async def test_a_body_that_waits_as_told_is_no_violation(clock, peer_of):
    async with Sandbox(faults=Faults.script([Injection(Fault.THROTTLE, retry_after=5)]), clock=clock) as sandbox:
        peer = peer_of(sandbox)
        await peer.append(ROW)
        clock.now += 5.0
        await peer.append(ROW)
        await peer.append(ROW)

    assert sandbox.early == ()
    assert [seen.during_backoff for seen in sandbox.requests] == [0.0, 0.0, 0.0]


async def test_another_body_during_the_backoff_is_told_apart_from_the_same_one(clock, peer_of):
    async with Sandbox(faults=Faults.script([Injection(Fault.THROTTLE, retry_after=5)]), clock=clock) as sandbox:
        peer = peer_of(sandbox)
        await peer.append(ROW)
        clock.now += 2.0
        await peer.append([{"Number": "27820000000"}])

    assert [(seen.early_by, seen.during_backoff) for seen in sandbox.requests] == [(0.0, 0.0), (0.0, 3.0)]


def test_bodies_that_never_come_back_are_forgotten_when_their_retry_after_is_over():
    backoff = Backoff()

    for second in range(1_000):
        backoff.told(f"body {second}", float(second), 10.0)

    assert (len(backoff._until_for), len(backoff._told)) == (70, 70)  # 10, and 60 for what is still being read


def test_a_body_sent_away_twice_is_known_until_the_second_retry_after_is_over():
    backoff = Backoff()
    backoff.told("body", 0.0, 5.0)
    backoff.told("body", 1.0, 200.0)
    backoff.told("another", 150.0, 1.0)

    assert backoff.early("body", 151.0) == (50.0, 50.0)


def test_a_body_that_arrived_too_early_is_known_when_it_has_been_read():
    backoff = Backoff()
    backoff.told("body", 0.0, 5.0)
    backoff.told("another", 30.0, 5.0)

    assert backoff.early("body", 4.0)[0] == 1.0


async def test_a_sandbox_listens_on_ipv6_too(peer_of):
    async with Sandbox(host="::1") as sandbox:
        assert sandbox.base_url.startswith("http://[::1]:")
        assert (await peer_of(sandbox).append(ROW)).status == 200


async def test_a_port_that_is_taken_is_an_oserror(sandbox):
    with pytest.raises(OSError, match=r".+"):
        async with Sandbox(port=int(sandbox.base_url.rpartition(":")[2])):
            pytest.fail("two servers on one port")


async def test_a_sandbox_that_is_not_running_says_so():
    with pytest.raises(RuntimeError, match="async with"):
        await Sandbox().refuse()


async def test_what_was_seen_stays_readable_after_the_end(peer_of):
    async with Sandbox() as sandbox:
        await peer_of(sandbox).append(ROW)

    assert (len(sandbox.requests), sandbox.applied("1")) == (1, {"27821234567": 1})


async def test_until_waits_for_what_arrives_next(sandbox, peer):
    waiting = [
        sandbox.until(lambda: sandbox.applied_total == 2),
        sandbox.until(lambda: len(sandbox.requests) == 1),
        peer.append(ROW * 2),
    ]

    for each in waiting[2:]:
        await each
    for each in waiting[:2]:
        await each

    assert sandbox.applied_total == 2
