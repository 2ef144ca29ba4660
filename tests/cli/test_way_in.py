"""The way into the command: whenever Ctrl-C comes, it ends quietly and with the code that says so."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import tomllib

import pytest
from commanded import TIMEOUT

import mobiz_async_command

BEGINNING = """
    import atexit, signal, sys

    class Interrupted:
        '''Ctrl-C at the moment when a module is looked for.'''

        def __init__(self, module):
            self.module = module

        def find_spec(self, name, path=None, target=None):
            if name == self.module:
                signal.raise_signal(signal.SIGINT)

    import mobiz_async_command
    sys.argv = ["mobiz", "--version"]
"""


def ended(program: str) -> tuple[int, str, str]:
    """Run a program after the beginning; return its exit code and what it wrote."""
    text = f"{textwrap.dedent(BEGINNING)}\n{textwrap.dedent(program)}"
    ran = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    return ran.returncode, ran.stdout.partition(" ")[0], ran.stderr


@pytest.mark.parametrize("module", ["mobiz_async", "aiohttp", "mobiz_async.cli", "click", "mobiz_async.cli.app"])
def test_ctrl_c_while_it_loads_ends_it_without_a_word(module: str) -> None:
    program = f"""
        sys.meta_path.insert(0, Interrupted({module!r}))
        sys.exit(mobiz_async_command.main())
    """

    assert ended(program) == (130, "", "")


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_it_ends_on_a_signal_while_it_loads_as_the_first_process_of_a_container_too(number) -> None:
    """The system ends that one by no signal that it has no handler for."""
    program = f"""
        signal.raise_signal = lambda _, really=signal.raise_signal: really(signal.{number})
        sys.meta_path.insert(0, Interrupted("aiohttp"))
        sys.exit(mobiz_async_command.main())
    """

    assert ended(program) == (128 + getattr(signal, number), "", "")


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_when_all_is_done_changes_nothing(number: str) -> None:
    program = f"""
        atexit.register(signal.raise_signal, signal.{number})
        sys.exit(mobiz_async_command.main())
    """

    assert ended(program) == (0, "mobiz", "")


def test_ctrl_c_between_the_loading_and_the_work_ends_it_without_a_word() -> None:
    program = """
        import mobiz_async.cli

        def run(argv):
            signal.raise_signal(signal.SIGINT)

        mobiz_async.cli.load = lambda: run
        sys.exit(mobiz_async_command.main())
    """

    assert ended(program) == (130, "", "")


def test_once_it_was_interrupted_it_waits_for_no_thread() -> None:
    """One that looks up a name cannot be broken off, and the interpreter would wait for it."""
    program = """
        import threading
        import mobiz_async.cli

        def run(argv):
            threading.Thread(target=threading.Event().wait).start()
            sys.stdout.write("told")
            return 143

        mobiz_async.cli.load = lambda: run
        sys.exit(mobiz_async_command.main())
    """

    assert ended(program) == (143, "told", "")


def test_a_server_is_loaded_for_the_commands_that_need_one_and_to_suggest_one_of_them() -> None:
    program = """
        import click
        from mobiz_async.cli.app import mobiz

        context = click.Context(mobiz)
        for name in ("send", "sandbo"):
            mobiz.get_command(context, name)
            print("aiohttp.web" in sys.modules, sorted(mobiz.commands) == mobiz.list_commands(context), sep="/")
    """

    assert ended(program) == (0, "False/False\nTrue/True\n", "")


@pytest.mark.parametrize("missing", ["stdout", "stderr"])
def test_a_missing_stream_changes_nothing_of_how_an_interrupted_command_ends(missing: str) -> None:
    program = f"""
        import mobiz_async.cli

        def run(argv):
            sys.stdout.write("told")
            sys.stderr.write("told")
            sys.{missing} = None
            return 143

        mobiz_async.cli.load = lambda: run
        sys.exit(mobiz_async_command.main())
    """
    code, *told = ended(program)

    assert (code, "told" in told) == (143, True)


def test_at_work_ctrl_c_is_what_it_always_is() -> None:
    """asyncio, and the command's own handlers, build on Python's."""
    program = """
        import mobiz_async.cli

        mobiz_async.cli.load = lambda: lambda argv: 7 if signal.getsignal(2) is signal.default_int_handler else 1
        sys.exit(mobiz_async_command.main())
    """

    assert ended(program) == (7, "", "")


def test_where_ctrl_c_is_ignored_it_stays_so() -> None:
    program = """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.meta_path.insert(0, Interrupted("aiohttp"))
        code = mobiz_async_command.main()
        sys.exit(code or signal.getsignal(signal.SIGINT) is not signal.SIG_IGN)
    """

    assert ended(program) == (0, "mobiz", "")


def test_the_way_in_loads_nothing_of_the_package() -> None:
    program = "sys.exit(any(name.partition('.')[0] in ('mobiz_async', 'aiohttp', 'click') for name in sys.modules))"

    assert ended(program) == (0, "", "")


def test_the_project_names_it_as_the_command(pytestconfig: pytest.Config) -> None:
    project = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text("utf-8"))

    assert project["project"]["scripts"] == {"mobiz": f"{mobiz_async_command.__name__}:main"}
    assert f"{mobiz_async_command.__name__}.py" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
