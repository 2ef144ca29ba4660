"""The command line's arguments: what they may look like, and that no message repeats them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import click
import pytest

from mobiz_async.cli.arguments import PlainCommand, SectionedCommand, assignments, definition, duration, moment
from mobiz_async.errors import ConfigurationError

CONTEXT = click.Context(click.Command("mobiz"))
OPTION = click.Option(["--time"])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("2h", 7200.0), ("1d", 86400.0), ("250ms", 0.25), (None, None)],
)
def test_a_duration_is_a_number_with_a_unit(text: str | None, seconds: float | None) -> None:
    assert duration(CONTEXT, OPTION, text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", "5 minutes", "1h30m", "nan", "inf"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="90s, 30m, 2h"):
        duration(CONTEXT, OPTION, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-01T08:00+02:00", datetime(2026, 12, 1, 8, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-12-01T08:00:00Z", datetime(2026, 12, 1, 8, tzinfo=UTC)),
    ],
)
def test_a_moment_is_iso_8601_with_an_offset(text: str, expected: datetime) -> None:
    assert moment(CONTEXT, OPTION, text) == expected


@pytest.mark.parametrize("text", ["2026-12-01T08:00", "2026-12-01", "tomorrow", ""])
def test_a_moment_without_an_offset_could_be_any_hour(text: str) -> None:
    with pytest.raises(click.BadParameter):
        moment(CONTEXT, OPTION, text)


def test_fields_are_written_name_equals_value() -> None:
    assert assignments(["A=27821234567", "B=", " C =x=y"]) == {"A": "27821234567", "B": "", "C": "x=y"}


@pytest.mark.parametrize("pairs", [["27821234567"], ["=27821234567"], ["A=27821234567", "A=2"]])
def test_a_bad_field_is_refused_without_its_value(pairs: list[str]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        assignments(pairs)

    assert "27821234567" not in str(raised.value)


def test_a_definition_has_formats_that_the_vendor_names() -> None:
    assert definition(["Number=msisdn", "Message=text"]) == {"Number": "msisdn", "Message": "text"}
    with pytest.raises(ConfigurationError, match="numeric, text, email, msisdn"):
        definition(["Number=phone"])


@pytest.mark.parametrize(
    ("words", "said"), [(["27821234567"], "1 argument too many"), (["27821234567", "Thandi"], "2 arguments")]
)
def test_arguments_that_are_too_many_are_counted_not_repeated(words: list[str], said: str) -> None:
    with pytest.raises(click.UsageError) as raised:
        PlainCommand("none").make_context("none", list(words))

    assert said in raised.value.message
    assert [word for word in words if word in raised.value.message] == []


def test_options_stand_under_the_heading_that_began_last() -> None:
    names = ["file", "--zero", "--first", "--second", "--third"]
    params = [click.Option([name]) if name.startswith("-") else click.Argument([name]) for name in names]
    command = SectionedCommand("sectioned", params=params, sections={"first": "One", "third": "Two"})
    lines = [line.strip().split(" ")[0] for line in command.get_help(click.Context(command)).splitlines() if line]

    assert lines[1:] == ["Options:", "--zero", "One:", "--first", "--second", "Two:", "--third", "--help"]


# Words that could not be decoded: Python has their bytes as lone surrogates

NO_TEXT = "S\udce9an"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["create-list", NO_TEXT, "Number=msisdn"], "'NAME'"),
        (["create-list", "Spring", "Number=msisdn", f"{NO_TEXT}=text"], "'FIELD=FORMAT ...'"),
        (["trigger", "sandbox-trigger", "A=27821234567", f"B={NO_TEXT}"], "'A=NUMBER [B=TEXT ...]'"),
        (["send", "{file}", "--list", "1", "--map", f"Message={NO_TEXT} {{Number}}"], "'--map'"),
        (["send", "{file}", "--list", "1", "--common", f"Message={NO_TEXT}"], "'--common'"),
        (["send", "{file}", "--list", NO_TEXT], "'--list'"),
    ],
)
def test_a_word_that_is_no_text_is_named_by_its_place(cli, served, file, words: list[str], name: str) -> None:
    path = file(count=1)
    ended = cli(*(word.replace("{file}", str(path)) for word in words))

    assert (ended.code, ended.out, served.sandbox.requests) == (2, "", ())
    assert ended.err.endswith(f"Error: {name} is not text in the encoding of this system\n")


@pytest.mark.parametrize("variable", ["MOBIZ_API_KEY", "MOBIZ_SUBSCRIPTION_KEY", "MOBIZ_USERNAME", "MOBIZ_BASE_URL"])
def test_so_is_a_variable(cli, served, monkeypatch, variable: str) -> None:
    monkeypatch.setenv(variable, NO_TEXT)
    ended = cli("create-list", "Spring", "Number=msisdn")

    assert (ended.code, served.sandbox.requests) == (2, ())
    assert ended.err == f"error: {variable} is not text in the encoding of this system\n"


def test_the_name_of_a_file_may_be_any_bytes(cli, served, file, tmp_path) -> None:
    path = file(count=1, name="\udcff.csv")
    ended = cli("send", path, "--list", 1, "--journal", tmp_path / "\udcff.j", "--json")

    assert (ended.code, ended.json["source"]) == (0, r"\udcff.csv")
