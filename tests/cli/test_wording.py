"""Errors of the library, in the words of the command: there are options and variables, and no keywords."""

from __future__ import annotations

import pytest

from mobiz_async.cli.wording import words_of
from mobiz_async.errors import MobizError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--concurrency", 0], "--concurrency must be >= 1: 0"),
        (["--max-failure-rate", 2], "--max-failure-rate must be <= 1: 2.0"),
        (["--records-per-second", 0], "--records-per-second must be > 0: 0.0"),
        (["--deadline", "0"], "--deadline must be > 0: 0.0"),
        (["--dry-run", "--price-per-segment", "much"], "--price-per-segment is an amount of money, such as 0.25"),
    ],
)
def test_a_setting_goes_by_its_option(cli, served, file, words: list[object], said: str) -> None:
    ended = cli("send", file(count=1), "--list", 1, *words)

    assert (ended.code, ended.err, served.sandbox.requests) == (2, f"error: {said}\n", ())


def test_an_encoding_is_named_by_its_option(cli, served, tmp_path) -> None:
    path = tmp_path / "spring.csv"
    path.write_bytes("Number,Name\n27821234567,Zoë\n".encode("cp1252"))
    ended = cli("send", path, "--list", 1)

    assert "(--encoding cp1252 is what Excel often writes)" in ended.err
    assert "encoding=" not in ended.err


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("MOBIZ_BASE_URL", "nonsense", "MOBIZ_BASE_URL is not an http(s) URL"),
        (
            "MOBIZ_BASE_URL",
            "http://example.com",
            "plain http would show the key and the recipients to the network: use https",
        ),
        ("MOBIZ_USERNAME", "", "a list needs an owner: set MOBIZ_USERNAME"),
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
    assert words_of(MobizError(said)) == said
