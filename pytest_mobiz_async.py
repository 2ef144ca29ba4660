"""pytest fixtures for programs that use mobiz_async: ``mobiz_sandbox``, a local server, and ``mobiz_client`` for it.

They need pytest-asyncio (auto or strict mode) or anyio's plugin, last for one test, and live in the event loop that the
test runs in, also where that is shared by a module or a whole session. Override the fixtures
``mobiz_sandbox_options`` and ``mobiz_client_options`` to return keywords for ``Sandbox`` and ``MobizClient``.

pytest imports this module at every start, in every project that has mobiz_async installed; so it stands beside the
package, not in it, and imports nothing of it before a fixture is asked for.
"""

from __future__ import annotations

import functools
import types
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mobiz_async import MobizClient
    from mobiz_async.sandbox import Sandbox


pytest.register_assert_rewrite("mobiz_async.testing.journal_contract")

_LOOP_SCOPES = ("function", "class", "module", "package", "session")


@pytest.fixture
def mobiz_sandbox_options() -> dict[str, Any]:
    """Keywords for ``Sandbox``; override it."""
    return {}


@pytest.fixture
def mobiz_client_options() -> dict[str, Any]:
    """Keywords for ``MobizClient``, beside keys, user and address; override it."""
    return {}


@pytest.fixture
def mobiz_sandbox(
    request: pytest.FixtureRequest,
    mobiz_sandbox_options: dict[str, Any],  # noqa: ARG001  so that a test can parametrize it
) -> Sandbox:
    """Return a running ``mobiz_async.sandbox.Sandbox``; set its ``faults``, look at what it applied."""
    sandbox: Sandbox = _running(request, "sandbox")
    return sandbox


@pytest.fixture
def mobiz_client(
    request: pytest.FixtureRequest,
    mobiz_sandbox: Sandbox,  # noqa: ARG001  the same
    mobiz_client_options: dict[str, Any],  # noqa: ARG001  the same
) -> MobizClient:
    """Return an open ``MobizClient`` that sends to ``mobiz_sandbox``."""
    client: MobizClient = _running(request, "client")
    return client


def _running(request: pytest.FixtureRequest, what: str) -> Any:
    if "anyio_backend" in request.fixturenames:
        backend = request.getfixturevalue("anyio_backend")
        if (backend[0] if isinstance(backend, tuple) else backend) != "asyncio":
            pytest.skip("mobiz_async runs on asyncio only")
        return request.getfixturevalue(f"_mobiz_{what}_anyio")
    if request.config.pluginmanager.has_plugin("asyncio"):
        return request.getfixturevalue(f"_mobiz_{what}_asyncio_{_loop_scope(request)}")
    raise pytest.UsageError(f"mobiz_{what} needs pytest-asyncio, or a test marked for anyio")


def _loop_scope(request: pytest.FixtureRequest) -> str:
    """Return which loop the test runs in, as pytest-asyncio says: by the test's mark, or by the project's setting."""
    mark = request.node.get_closest_marker("asyncio")
    asked = (mark.kwargs.get("loop_scope") or mark.kwargs.get("scope")) if mark is not None else None
    return str(asked or request.config.getini("asyncio_default_test_loop_scope"))


async def _sandbox(mobiz_sandbox_options: dict[str, Any]) -> AsyncIterator[Sandbox]:
    from mobiz_async.sandbox import Sandbox  # noqa: PLC0415  see the head of this module

    async with Sandbox(**mobiz_sandbox_options) as sandbox:
        yield sandbox


async def _client(
    mobiz_sandbox: Sandbox, mobiz_sandbox_options: dict[str, Any], mobiz_client_options: dict[str, Any]
) -> AsyncIterator[MobizClient]:
    from mobiz_async import MobizClient  # noqa: PLC0415  the same

    settings = {
        "api_key": mobiz_sandbox_options.get("api_key", "sandbox-api-key"),
        "subscription_key": mobiz_sandbox_options.get("subscription_key", "sandbox-subscription-key"),
        "username": mobiz_sandbox_options.get("username", "sandbox-user"),
        "base_url": mobiz_sandbox.base_url,
    }
    async with MobizClient(**{**settings, **mobiz_client_options}) as client:
        yield client


def pytest_configure(config: pytest.Config) -> None:
    """Make the fixtures known to whichever async plugins are there; each wants its own kind."""
    plugins = config.pluginmanager
    if plugins.has_plugin("asyncio"):
        import pytest_asyncio  # noqa: PLC0415  only where it has been imported anyway

        for scope in _LOOP_SCOPES:
            _register(plugins, f"asyncio_{scope}", functools.partial(pytest_asyncio.fixture, loop_scope=scope))
    if plugins.has_plugin("anyio"):
        # anyio runs any async fixture of a test that is marked for it.
        _register(plugins, "anyio", pytest.fixture)


def _register(plugins: pytest.PytestPluginManager, kind: str, fixture: Callable[..., Any]) -> None:
    holder = types.ModuleType(f"mobiz_async fixtures for {kind}")
    vars(holder)["sandbox"] = fixture(name=f"_mobiz_sandbox_{kind}")(_copy(_sandbox))
    vars(holder)["client"] = fixture(name=f"_mobiz_client_{kind}")(_copy(_client))
    plugins.register(holder, f"mobiz-{kind}")


def _copy(function: Any) -> types.FunctionType:
    """Return a function of its own: pytest-asyncio notes the scope of a fixture's loop on the function itself."""
    return types.FunctionType(function.__code__, function.__globals__, function.__name__)
