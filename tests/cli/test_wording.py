"""Errors of the library, in the words of the command: there are options and variables, and no keywords."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import click
import pytest

from mobiz_async.cli.app import mobiz
from mobiz_async.cli.wording import OPTIONS, words_of
from mobiz_async.client import MobizClient
from mobiz_async.errors import ConfigurationError, ConnectError, MobizError, SourceError
from mobiz_async.options import BulkOptions
from mobiz_async.recipients import load_suppression, open_recipients, preview


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--concurrency", 0], "--concurrency must be a whole number of at least 1"),
        (["--max-failure-rate", 2], "--max-failure-rate must be a number from 0 to 1"),
        (["--records-per-second", 0], "--records-per-second must be a number above 0"),
        (["--deadline", "0"], "--deadline must be a number above 0"),
        (["--dry-run", "--price-per-segment", "much"], "--price-per-segment is an amount of money, such as 0.25"),
    ],
)
def test_a_setting_goes_by_its_option(cli, served, file, words: list[object], said: str) -> None:
    ended = cli("send", file(count=1), "--list", 1, *words)

    assert (ended.code, ended.err, served.sandbox.requests) == (2, f"error: {said}\n", ())


def test_a_time_that_is_past_goes_by_its_option(cli, served) -> None:
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    ended = cli("schedule", "sandbox-trigger", "--at", past, "A=27821234567")

    assert (ended.code, ended.err) == (2, "error: --at is not in the future\n")


def test_a_column_that_is_not_known_goes_by_its_option(cli, served, file) -> None:
    optouts = file("cell,home", "0821234567,0215550000", name="optouts.csv")
    ended = cli("send", file(count=1), "--list", 1, "--suppress", optouts)

    said = f"--suppress-column is needed: which column of {optouts} holds the numbers? There are: cell, home"
    assert (ended.code, ended.err) == (2, f"error: {said}\n")


def test_a_column_that_the_list_of_opt_outs_has_not_is_told_of_that_file(cli, served, file, tmp_path) -> None:
    optouts = tmp_path / "optouts.csv"
    optouts.write_text("cell,name\n27820000001,Thandi\n")
    ended = cli("send", file(count=1), "--list", 1, "--suppress", optouts, "--suppress-column", "nix")

    assert (ended.code, len(served.sandbox.requests)) == (2, 0)
    assert ended.err.startswith(f"error: {optouts}: ")


def _keywords(function: Callable[..., object]) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    return {one.name for one in parameters if one.kind is not inspect.Parameter.VAR_KEYWORD}


CALLED = (
    BulkOptions,
    open_recipients,
    load_suppression,
    preview,
    MobizClient,
    MobizClient.schedule,
)
"""What the command hands its options on to."""

UNDER_ANOTHER_NAME = {"mapping": "--map", "format": "--format", "column": "--suppress-column", "send_time": "--at"}
LIKE_NO_KEYWORD = {"journal", "fields", "records"}
"""Parameters of commands that are called like a keyword of the library, which has something else in it."""


def test_each_option_that_sets_a_keyword_is_known_by_it() -> None:
    keywords = set().union(*map(_keywords, CALLED)) - LIKE_NO_KEYWORD
    context = click.Context(mobiz)
    options = {
        param.name: param.opts[0]
        for command in map(partial(mobiz.get_command, context), mobiz.list_commands(context))
        for param in command.params
        if isinstance(param, click.Option)
    }
    alike = {name: option for name, option in options.items() if name in keywords}

    assert alike | UNDER_ANOTHER_NAME == dict(OPTIONS)
    assert set(UNDER_ANOTHER_NAME.values()) <= set(options.values())


def test_a_keyword_that_no_option_sets_is_called_what_it_is_called() -> None:
    assert words_of(ConfigurationError("must be above 0", setting="max_wait")) == "max_wait must be above 0"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("MOBIZ_BASE_URL", "nonsense", "MOBIZ_BASE_URL is not an http(s) URL"),
        (
            "MOBIZ_BASE_URL",
            "http://example.com",
            (
                "MOBIZ_BASE_URL is plain http, which would show the key and the recipients to the network: "
                "use https, or set MOBIZ_ALLOW_INSECURE=1"
            ),
        ),
        ("MOBIZ_USERNAME", "", "MOBIZ_USERNAME is missing: it says whose a new list is"),
        ("MOBIZ_API_KEY", " key", "MOBIZ_API_KEY has white space around it or a line break in it"),
    ],
)
def test_what_comes_from_the_environment_goes_by_its_variable(
    cli, served, monkeypatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    ended = cli("create-list", "Spring", "Number=msisdn")

    assert (ended.code, ended.err) == (2, f"error: {said}\n")


@pytest.mark.parametrize("said", ["there is no column 'chunk_size'", "field 'base_url': missing"])
def test_columns_are_left_as_they_are_called(said: str) -> None:
    assert words_of(ConfigurationError(said)) == said


def test_of_a_file_that_cannot_be_read_further_it_is_told_where_and_why(cli, served, tmp_path) -> None:
    path = tmp_path / "spring.csv"
    path.write_bytes("Number,Name\n27821234567,Zoë\n".encode("cp1252"))
    ended = cli("send", path, "--list", 1, "--quiet")

    said = "if the file is in another encoding (Excel often writes cp1252), name it, or save it as UTF-8"
    assert (ended.code, ended.err) == (2, f"error: {path}, record 1: byte 15 of its line is not UTF-8; {said}\n")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:9", "; MOBIZ_BASE_URL is http://127.0.0.1:9"),
        ("https://mobiz.example", "; MOBIZ_BASE_URL is https://mobiz.example; it is by the proxy of HTTPS_PROXY"),
        ("", "; it is by the proxy of HTTPS_PROXY"),
    ],
)
def test_an_address_that_cannot_be_reached_is_told_where_it_is_not_the_vendors(
    monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    monkeypatch.setenv("MOBIZ_BASE_URL", address)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")

    assert words_of(ConnectError("not sent")) == f"not sent{said}"


def test_without_a_proxy_none_is_told_of() -> None:
    assert words_of(ConnectError("not sent")) == "not sent"


@pytest.mark.parametrize(
    ("cause", "said"),
    [(MobizError("it has gone"), ": it has gone"), (ValueError("27821234567"), "")],
)
def test_what_else_a_source_raises_is_told_where_it_is_ours(cause: Exception, said: str) -> None:
    error = SourceError(3, type(cause).__name__)
    error.__cause__ = cause

    assert words_of(error) == f"the source of records raised {type(cause).__name__} at record 3{said}"
