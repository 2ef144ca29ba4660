"""What every test may use: a shim for aioresponses, and an environment without anybody's keys."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
import signal
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientResponse
from aioresponses import aioresponses
from aioresponses.core import RequestMatch
from hypothesis import HealthCheck, settings

from mobiz_async.sandbox import Sandbox

# What somebody likes to see, or has to go through, changes what programs say and do; those that tests start as well.
for _name in ("MOBIZ_LOG", "FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
    os.environ.pop(_name, None)
for _name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.lower(), None)

# And so do the signals that whoever started the tests has ignored, by nohup or a shell's "&".
for _name in ("SIGINT", "SIGTERM", "SIGHUP"):
    if (_number := getattr(signal, _name, None)) is not None and signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)

if "PYTEST_XDIST_WORKER" in os.environ:
    # What runs the tests is measured. The programs that they start are not: it would double what their start costs, and
    # with some two hundred of them take a minute.
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)

# Hundreds of programs are started. Each would compile the package anew, and read the certificates of the authorities of
# the world, with none of which any of them has to do.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("SSL_CERT_FILE", os.devnull)


def pytest_collection_finish() -> None:
    """What was made by now stays: Python is not to look through it again and again for what is left over."""
    gc.collect()
    gc.freeze()


# How long an example takes says something about the machine, not about the rule.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


if os.environ.get("MOBIZ_TEST_LOOP") == "uvloop":
    import uvloop

    def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        """Run every asynchronous test in uvloop."""
        return {"uvloop": uvloop.new_event_loop}


if "MOBIZ_TEST_TLS" in os.environ:  # a folder made by trustme; SSL_CERT_FILE names who vouches for what is in it
    _https = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _https.load_cert_chain(*(Path(os.environ["MOBIZ_TEST_TLS"], name) for name in ("server.pem", "server.key")))
    Sandbox.__init__ = functools.partialmethod(Sandbox.__init__, ssl_context=_https)


@pytest.fixture(autouse=True)
def no_keys_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may depend on keys that happen to be set where it runs."""
    for name in ("MOBIZ_API_KEY", "MOBIZ_SUBSCRIPTION_KEY", "MOBIZ_USERNAME", "MOBIZ_BASE_URL", "MOBIZ_ALLOW_INSECURE"):
        monkeypatch.delenv(name, raising=False)


def _needs_a_stream_writer() -> bool:
    wanted = inspect.signature(ClientResponse.__init__).parameters
    return "stream_writer" in wanted and "stream_writer" not in inspect.getsource(RequestMatch._build_response)


class _Response(ClientResponse):
    """What aioresponses makes where aiohttp's response wants to be told of the stream writer, and it does not know."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, stream_writer=SimpleNamespace(output_size=0), **kwargs)


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """aioresponses, for tests of statuses and mappings only: it bypasses the connector, middlewares and timeouts."""
    with aioresponses() as mock:
        if _needs_a_stream_writer():
            monkeypatch.setattr(mock, "add", functools.partial(mock.add, response_class=_Response))
        yield mock
