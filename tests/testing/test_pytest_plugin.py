"""The pytest fixtures, in projects of their own: a pytest in a process of its own for each."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

TESTS = """
    import pytest
    {mark}
    async def test_client_sends_to_sandbox(mobiz_client, mobiz_sandbox):
        receipt = await mobiz_client.trigger("sandbox-trigger", {{"A": "27821234567"}})
        assert receipt.message_id
        assert mobiz_sandbox.triggered() == {{"27821234567": 1}}

    {mark}
    async def test_each_test_has_its_own(mobiz_sandbox):
        assert mobiz_sandbox.applied_total == 0
"""


# Where the package is installed, its entry point brings the plugin already, and twice is once too often.
INSTALLED = any(point.name == "mobiz" for point in entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "pytest_mobiz_async")


def run(pytester: pytest.Pytester, body: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(body)
    return pytester.runpytest_subprocess(*PLUGIN, "-p", "no:cacheprovider", "-W", "error", *arguments, timeout=60)


def asyncio_mode(mode: str) -> list[str]:
    return ["-o", f"asyncio_mode={mode}", "-o", "asyncio_default_fixture_loop_scope=function"]


@pytest.mark.parametrize(("mode", "mark"), [("auto", ""), ("strict", "@pytest.mark.asyncio")])
def test_the_fixtures_work_with_pytest_asyncio_in_both_modes(pytester, mode, mark):
    result = run(pytester, TESTS.format(mark=mark), *asyncio_mode(mode))

    result.assert_outcomes(passed=2)


SANDBOX_ALONE = """
    {mark}
    async def test_the_sandbox_alone_answers(mobiz_sandbox):
        from mobiz_async import MobizClient, Timeouts
        keys = "sandbox-api-key", "sandbox-subscription-key"
        async with MobizClient(*keys, base_url=mobiz_sandbox.base_url, timeouts=Timeouts(read=5)) as mobiz:
            await mobiz.trigger("sandbox-trigger", {{"A": "27821234567"}})
"""


@pytest.mark.parametrize(
    ("fixtures", "tests"), [("function", "function"), ("function", "session"), ("session", "session")]
)
def test_the_fixtures_live_in_the_loop_of_the_test(pytester, fixtures, tests):
    """Whatever says which that is: the test's own mark, or the project's settings."""
    marks = {
        "bare": "",
        **{f"in_{scope}": f'@pytest.mark.asyncio(loop_scope="{scope}")' for scope in ("module", "session")},
    }
    pytester.makepyfile(**{f"test_{name}": (TESTS + SANDBOX_ALONE).format(mark=mark) for name, mark in marks.items()})
    scopes = f"asyncio_default_fixture_loop_scope={fixtures}", f"asyncio_default_test_loop_scope={tests}"
    settings = [word for setting in ("asyncio_mode=auto", *scopes) for word in ("-o", setting)]

    result = pytester.runpytest_subprocess(*PLUGIN, "-p", "no:cacheprovider", "-W", "error", *settings, timeout=60)

    result.assert_outcomes(passed=9)


def test_the_fixtures_work_with_anyio_alone_and_skip_trio(pytester):
    mark = '@pytest.mark.anyio\n    @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])'
    result = run(pytester, TESTS.format(mark=mark), "-p", "no:asyncio")

    result.assert_outcomes(passed=2, skipped=2)


def test_the_fixtures_follow_the_mark_where_both_plugins_are_there(pytester):
    mark = '@pytest.mark.anyio\n    @pytest.mark.parametrize("anyio_backend", ["asyncio"])'
    result = run(pytester, TESTS.format(mark=mark), *asyncio_mode("strict"))

    result.assert_outcomes(passed=2)


def test_settings_are_fixtures_to_override(pytester):
    body = """
        import pytest
        from mobiz_async import AuthenticationError

        @pytest.fixture
        def mobiz_sandbox_options():
            return {"api_key": "another-key", "trigger_keys": ["spring"]}

        @pytest.fixture
        def mobiz_client_options(request):
            return getattr(request, "param", {})

        async def test_the_client_knows_the_keys_of_the_sandbox(mobiz_client, mobiz_sandbox):
            await mobiz_client.trigger("spring", {"A": "27821234567"})
            assert mobiz_sandbox.applied_total == 1

        @pytest.mark.parametrize("mobiz_client_options", [{"api_key": "wrong"}], indirect=True)
        async def test_unless_told_otherwise(mobiz_client):
            with pytest.raises(AuthenticationError):
                await mobiz_client.trigger("spring", {"A": "27821234567"})
    """
    result = run(pytester, body, *asyncio_mode("auto"))

    result.assert_outcomes(passed=2)


def test_without_an_async_plugin_the_fixtures_say_what_is_missing(pytester):
    result = run(pytester, "def test_it(mobiz_sandbox): pass", "-p", "no:asyncio", "-p", "no:anyio")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*mobiz_sandbox needs pytest-asyncio*"])


def test_the_plugin_imports_nothing_of_the_package_at_start():
    code = (
        "import sys, pytest_mobiz_async; "
        "print(*[name for name in sys.modules if name.split('.')[0] in ('mobiz_async', 'aiohttp', 'anyio')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout == "\n"


def test_the_project_names_the_plugin_as_its_entry_point(pytestconfig):
    project = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())["project"]

    assert project["entry-points"]["pytest11"] == {"mobiz": "pytest_mobiz_async"}
