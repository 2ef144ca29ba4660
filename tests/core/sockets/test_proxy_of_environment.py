"""``trust_env``: through the proxy that the environment names, and past it where it says so."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from broken import Peer, obliging, serving
from yarl import URL

from mobiz_async import MobizClient, RetryPolicy
from mobiz_async.addresses import proxy_of_environment
from mobiz_async.errors import ConfigurationError, ConnectError

VENDOR = URL("https://mobiz.example/api")
RECORDS = [{"Number": "27821234567"}]
ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets variables in the environment."""

    def use(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return use


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"https_proxy": "proxy.example:3128"}, "http://proxy.example:3128"),
        ({"HTTPS_PROXY": "https://me:word@proxy.example"}, "https://me:word@proxy.example"),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "localhost,.example"}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "elsewhere.example"}, "http://proxy.example:3128"),
    ],
)
def test_the_proxy_is_that_of_the_scheme_unless_the_host_is_excepted(environment, variables, proxy) -> None:
    environment(**variables)

    assert proxy_of_environment(VENDOR) == (proxy and URL(proxy))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "mobiz.localhost"])
def test_this_machine_is_never_reached_by_way_of_another(environment, host: str) -> None:
    environment(HTTP_PROXY="http://proxy.example:3128", HTTPS_PROXY="http://proxy.example:3128")

    assert proxy_of_environment(URL(f"http://{host}:8080")) is proxy_of_environment(URL(f"https://{host}")) is None


@pytest.mark.parametrize("named", ["socks5://me:password@proxy.example", "http://me:password@", "http://[password"])
def test_what_is_no_proxy_is_refused_and_not_shown(environment, named: str) -> None:
    environment(HTTPS_PROXY=named)
    with pytest.raises(ConfigurationError) as refused:
        MobizClient("key", "key", base_url=str(VENDOR), trust_env=True)

    assert (refused.value.setting, refused.value.variable) == ("trust_env", "HTTPS_PROXY")
    ours = traceback.StackSummary.extract(traceback.walk_tb(refused.tb.tb_next), capture_locals=True)
    assert ours
    assert "password" not in f"{refused.value} {''.join(ours.format())}"


def test_it_is_of_no_use_to_a_session_or_transport_of_ones_own() -> None:
    other: Any = object()
    for own in ({"session": other}, {"transport": other}):
        with pytest.raises(ConfigurationError, match="trust_env"):
            MobizClient("key", "key", trust_env=True, **own)


async def test_requests_go_through_it_with_its_password(environment, client_of) -> None:
    async with serving(obliging, tls=False) as seen:
        environment(HTTP_PROXY=seen.url.replace("//", "//me:word@"))
        mobiz = client_of("http://mobiz.example", allow_insecure=True, trust_env=True)
        await mobiz.append("1", RECORDS)

    head = seen.requests[0][0]
    assert head.startswith(b"POST http://mobiz.example/customers/CustomerList-append?")
    assert b"Proxy-Authorization: Basic bWU6d29yZA==" in head


async def test_without_being_asked_for_it_is_not_used(environment, client_of, deaf: str) -> None:
    environment(HTTP_PROXY=deaf)
    async with serving(obliging, tls=False) as seen:
        mobiz = client_of(seen.url.replace("127.0.0.1", "localhost"), allow_insecure=True)
        await mobiz.append("1", RECORDS)

    assert seen.requests[0][0].startswith(b"POST /customers/")


async def refusing(peer: Peer) -> None:
    peer.seen.note(await peer.head(), b"")
    await peer.answer("407 Proxy Authentication Required")


async def test_a_proxy_that_refuses_is_not_sent_and_sees_no_key(environment, client_of) -> None:
    async with serving(refusing, tls=False) as seen:
        environment(HTTPS_PROXY=seen.url)
        mobiz = client_of("https://mobiz.example", trust_env=True, retry=ONCE)
        with pytest.raises(ConnectError, match="the proxy made no connection"):
            await mobiz.append("1", RECORDS)

    ((head, _),) = seen.requests
    assert head.startswith(b"CONNECT mobiz.example:443 HTTP/1.1\r\n")
    assert b"api-key" not in head
