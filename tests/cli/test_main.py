"""The command as such: without its extra, with its version, and when something is wrong with it itself."""

from __future__ import annotations

import asyncio
import logging
import os
import pty
import subprocess
import sys
from importlib import metadata
from types import ModuleType

import pytest
from commanded import COMMAND, TIMEOUT

from mobiz_async.cli import main
from mobiz_async.cli.screen import Screen, plural


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(monkeypatch, capsys, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    code = main([])

    assert (code, *capsys.readouterr()) == (2, "", "the mobiz command needs: pip install 'mobiz-async[cli]'\n")


def _not_installed(name: str) -> str:
    raise metadata.PackageNotFoundError(name)


@pytest.mark.parametrize(
    ("version", "expected"),
    [(lambda _: "1.2.3", "mobiz 1.2.3\n"), (_not_installed, "mobiz unknown: run from its sources\n")],
)
def test_with_the_extra_it_runs(capsys, monkeypatch, version, expected: str) -> None:
    monkeypatch.setattr(metadata, "version", version)

    assert (main(["--version"]), capsys.readouterr().out) == (0, expected)


def test_it_is_a_module_as_well() -> None:
    ended = subprocess.run([*COMMAND, "send"], capture_output=True, text=True, timeout=TIMEOUT, check=False)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Missing argument 'FILE'" in ended.stderr


def test_without_a_command_there_is_help(cli) -> None:
    ended = cli()

    assert ended.code == 2
    assert "Usage: mobiz [OPTIONS] COMMAND" in ended.err


def test_a_mistake_of_ours_is_told_without_what_it_was_working_on(cli, monkeypatch, file) -> None:
    """The texts of exceptions are left out: they might hold a number."""

    def broken(*_: object) -> None:
        try:
            int("27821234567 SENTINEL")
        except ValueError as error:
            raise KeyError("27821234567") from error

    monkeypatch.setattr("mobiz_async.cli.send.preview_order", broken)
    ended = cli("send", file(count=1), "--dry-run")

    assert ended.code == 1
    assert ended.err.index("builtins.ValueError\n") < ended.err.index("builtins.KeyError\n")
    assert ended.err.endswith("error: this is a mistake in mobiz_async (KeyError); please report the lines above\n")
    assert 'raise KeyError("27821234567") from error' in ended.err  # a line of the program, not of the data
    assert "SENTINEL'" not in ended.err


def test_where_signals_cannot_be_handled_ctrl_c_claims_nothing(cli, served, monkeypatch) -> None:
    """On Windows it ends the loop as a KeyboardInterrupt, and nobody knows how far the request was."""

    def interrupted(runner, coroutine) -> None:
        coroutine.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio.Runner, "run", interrupted)
    ended = cli("trigger", "sandbox-trigger", "A=27821234567")

    assert (ended.code, ended.err.strip()) == (130, "interrupted; what was on its way may have been sent")


@pytest.mark.parametrize(
    ("place", "words"), [("preview_order", ["--dry-run"]), ("load_suppression", ["--suppress", "optouts"])]
)
def test_ctrl_c_where_nothing_is_sent_says_so(cli, served, file, monkeypatch, place: str, words: list[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"mobiz_async.cli.send.{place}", interrupted)
    ended = cli("send", file(count=1), "--list", 1, *words, "--json")

    assert (ended.code, ended.err.strip()) == (130, "interrupted: nothing was on its way")
    assert ended.json == {"error": "interrupted: nothing was on its way", "exit_code": 130}


def test_ctrl_c_while_it_loads_is_no_traceback(capsys, monkeypatch) -> None:
    class Interrupting(ModuleType):
        def __getattr__(self, name: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "mobiz_async.cli.app", Interrupting("app"))

    assert (main([]), *capsys.readouterr()) == (130, "", "")


def test_warnings_of_the_log_stay_off_the_screen_once(cli, monkeypatch) -> None:
    logger = logging.getLogger("mobiz_async")
    monkeypatch.setattr(logger, "handlers", [])
    cli("--version")
    cli("--version")

    assert [type(handler) for handler in logger.handlers] == [logging.NullHandler]


def test_on_a_terminal_the_bar_is_gone_at_the_end_and_the_cursor_is_back(served, file) -> None:
    """The whole command with a real terminal on both streams."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen(
        [*COMMAND, "send", str(file(count=2000)), "--list", "1", "--chunk-size", "100"],
        stdout=follower,
        stderr=follower,
        env=environment,
    ) as process:
        os.close(follower)
        written = b""
        try:
            while block := os.read(leader, 65536):
                written += block
        except OSError:  # how Linux says that the other end is closed
            pass
        process.wait(TIMEOUT)
    os.close(leader)
    text = written.decode()

    assert process.returncode == 0
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "\x1b[32m2,000\x1b[0m" in text  # accepted, in green
    assert "━" in text


def test_results_on_a_terminal_keep_their_colours(capsys) -> None:
    screen = Screen()
    screen.out._force_terminal = True
    screen.show("plain")

    assert capsys.readouterr().out == "plain\n"


@pytest.mark.parametrize(("count", "expected"), [(0, "0 records"), (1, "1 record"), (1200, "1,200 records")])
def test_nouns_agree_with_their_number(count: int, expected: str) -> None:
    assert plural(count, "record") == expected


@pytest.mark.parametrize("words", [["--journal", "j"], ["--rejects", "r.csv"]])
def test_a_working_directory_that_is_gone_is_told(cli, served, file, tmp_path, monkeypatch, words: list[str]) -> None:
    """As where a new release has taken its place."""
    path = file(count=1)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    ended = cli("send", path, "--list", 1, *words)

    assert (ended.code, served.sandbox.requests) == (2, ())
    assert ended.err == "error: the working directory is not there any more: names that are not whole lead nowhere\n"


def test_where_a_screen_is_said_to_have_no_width_the_report_is_there_all_the_same(
    cli, served, file, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", "0")

    assert "  accepted  2\n" in cli("send", file(count=2), "--list", 1).out
