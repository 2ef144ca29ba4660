"""`mobiz send --dry-run`: a look first. Nothing is sent, and no keys are needed."""

from __future__ import annotations

import pytest

from mobiz_async.cli.previewing import preview_table
from mobiz_async.cli.screen import Screen
from mobiz_async.recipients.preview import preview

LOOK = """\
spring.csv: a look, nothing was sent
  3  would go, in 2 requests and 244 bytes
  1  not a mobile number
  1  duplicate
  1  phone number too short
  -
  6  read

  messages   4 SMS segments for 3 texts
             GSM-7 2, UCS-2 1
             UCS-2 because of \u2019 U+2019 (right single quotation mark): 1
  cost       1.00, at 0.25 a segment
  countries  ZA 3
  prefixes   2782 1, 2783 1, 2784 1

  The first of those that would not go:
  row 2  Number  not a mobile number
  row 4  Number  phone number too short
"""


@pytest.fixture
def path(file):
    long = "x" * 60
    return file(
        "name,cell",
        "Thandi,082 123 4567",
        "Pieter,021 123 4567",
        "Sipho,082-123-4567",
        "Anna,12",
        f"Zola\u2019s {long},083 123 4567",
        "Jo,084 123 4567",
    )


@pytest.fixture
def words(path) -> list[object]:
    mapping = ["--map", "Number=cell", "--map", "Message=Hi {name}, how are you?"]
    return ["send", path, "--list", 1, *mapping, "--region", "ZA", "--mobile-only", "--dedupe", "--chunk-size", 2]


def test_a_look_says_what_would_go_and_what_would_not(cli, words) -> None:
    ended = cli(*words, "--dry-run", "--price-per-segment", "0.25")

    assert (ended.code, ended.out, ended.err) == (1, LOOK, "")


def test_a_look_for_machines(cli, words) -> None:
    look = cli(*words, "--dry-run", "--price-per-segment", "0.25", "--json").json

    assert [look[name] for name in ("source", "dry_run", "read", "good", "cost")] == ["spring.csv", True, 6, 3, "1.00"]
    assert look["held_back"] == {"not a mobile number": 1, "duplicate": 1, "phone number too short": 1}


def test_a_look_sends_nothing_and_needs_no_list(cli, served, file) -> None:
    ended = cli("send", file(count=12), "--dry-run")

    assert (ended.code, served.sandbox.requests) == (0, ())
    assert "  12  would go, in 1 request and " in ended.out


def test_a_look_at_a_new_list_checks_what_the_list_would(cli, file) -> None:
    ended = cli("send", file("Number", "082 123 4567"), "--new-list", "Spring", "--dry-run")

    assert ended.code == 1
    assert "1  not a phone number in the API's form" in ended.out


def test_duplicates_are_no_reason_to_fail(cli, file) -> None:
    ended = cli("send", file("Number", "27821234567", "27821234567"), "--dry-run", "--dedupe")

    assert ended.code == 0
    assert "The first of those" not in ended.out


@pytest.mark.parametrize("price", ["much", "-1", "nan"])
def test_a_price_is_an_amount(cli, file, price: str) -> None:
    ended = cli("send", file(count=1), "--dry-run", "--price-per-segment", price)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "error: --price-per-segment is an amount of money, such as 0.25\n"


def test_texts_that_are_not_found_cost_nothing_that_could_be_said(cli, words) -> None:
    """A field that no record has is a mistake in the command: 0.00 would be taken for the price of the campaign."""
    asked = [*words, "--dry-run", "--price-per-segment", "0.25", "--message-field", "Nope"]
    ended, look = cli(*asked), cli(*asked, "--json").json

    assert "  cost       no record has a text in 'Nope': name the field with --message-field\n" in ended.out
    assert (look["cost"], look["messages"]) == (None, 0)


def test_whoever_wants_no_look_is_told_what_the_exit_code_is_for(cli, words) -> None:
    ended = cli(*words, "--dry-run", "--quiet")
    wished = cli("send", words[1], "--map", "Number=cell", "--dry-run", "--quiet")

    assert (ended.code, ended.out, ended.err) == (
        1,
        "",
        "2 of 6 records would not go; the first: record 2, field 'Number': not a mobile number\n",
    )
    assert (wished.code, wished.out, wished.err) == (0, "", "")


def test_settings_that_no_run_would_take_are_refused_here_as_well(cli, words) -> None:
    ended = cli(*words[:-2], "--dry-run", "--chunk-size", 0)

    assert (ended.code, ended.out, ended.err) == (
        2,
        "",
        "error: --chunk-size must be a whole number from 1 to 10,000\n",
    )


def test_a_file_without_records_is_looked_at_as_well(cli, file) -> None:
    assert cli("send", file(), "--dry-run").out == (
        "spring.csv: a look, nothing was sent\n  0  would go\n  -\n  0  read\n"
    )


def test_characters_that_cannot_be_seen_are_named(capfd) -> None:
    looks = [preview([{"Number": "27821234567", "Message": each}]) for each in ("\u200b", "\u0301", "\ue000")]
    for look in looks:
        Screen().show(preview_table(look, "spring.csv", None))
    written = capfd.readouterr().out

    assert "because of U+200B (zero width space): 1" in written
    assert "because of U+0301 (combining acute accent): 1" in written
    assert "because of U+E000 (a character without a name): 1" in written


def test_many_prefixes_are_counted_not_listed(capfd) -> None:
    records = [{"Number": f"27{prefix}1234567"} for prefix in (*range(60, 70), *range(71, 80))]
    Screen().show(preview_table(preview(records), "spring.csv", None))
    lines = capfd.readouterr().out.splitlines()

    assert [line for line in lines if len(line) > 80] == []
    assert any(line.endswith("9 more") for line in lines)


def test_large_bodies_are_told_in_megabytes(capfd) -> None:
    records = [{"Number": "27821234567", "Message": "x" * 1000}] * 200
    Screen().show(preview_table(preview(records), "spring.csv", None))

    assert "200  would go, in 1 request and 0.2 MB\n" in capfd.readouterr().out
