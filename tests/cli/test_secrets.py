"""No key and no number in what the command writes, however it ends."""

from __future__ import annotations

import logging

import pytest
from commanded import running

from mobiz_async.sandbox import Fault, Faults, Sandbox

KEY, SUBSCRIPTION_KEY, NUMBER = "SENTINEL-api-key", "SENTINEL-subscription-key", "27821234567"

SEND = ["send", "{file}", "--list", "1", "--chunk-size", "1", "--deadline", "100ms"]
COMMANDS = {
    "send": SEND,
    "send for machines": [*SEND, "--json"],
    "send with a journal": [*SEND, "--journal", "{folder}/journal"],
    "send with rejects": [*SEND, "--rejects", "{folder}/rejects.csv"],
    "send halving": [*SEND, "--on-rejected", "split"],
    "trigger": ["trigger", "sandbox-trigger", f"A={NUMBER}"],
    "schedule": ["schedule", "sandbox-trigger", f"A={NUMBER}", "--at", "2036-12-01T08:00Z"],
    "create-list": ["create-list", "Spring", "Number=msisdn"],
}
QUICK = [fault for fault in Fault if fault not in (Fault.HANG_UNAPPLIED, Fault.HANG_AFTER_APPLY, Fault.SLOW_ANSWER)]


@pytest.fixture
def watched(cli, file, tmp_path, monkeypatch):
    """Runs a command with sentinel keys, and returns what it wrote."""

    def call(words: list[str], url: str) -> str:
        monkeypatch.setenv("MOBIZ_BASE_URL", url)
        monkeypatch.setenv("MOBIZ_API_KEY", KEY)
        monkeypatch.setenv("MOBIZ_SUBSCRIPTION_KEY", SUBSCRIPTION_KEY)
        monkeypatch.setenv("MOBIZ_USERNAME", "sandbox-user")
        path = file("Number", NUMBER)
        ended = cli(*(word.format(file=path, folder=tmp_path) for word in words))
        return ended.out + ended.err

    return call


@pytest.fixture
def accepting():
    """A sandbox that takes the sentinel keys for its own."""
    with running(Sandbox(api_key=KEY, subscription_key=SUBSCRIPTION_KEY)) as threaded:
        yield threaded.sandbox


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_refused_keys_are_not_shown(watched, served, words: list[str]) -> None:
    written = watched(words, served.sandbox.base_url)

    assert written
    assert [text for text in ("SENTINEL", NUMBER) if text in written] == []


@pytest.mark.parametrize("fault", QUICK)
@pytest.mark.parametrize("name", ["send for machines", "trigger"])
def test_no_failure_shows_a_key_or_a_number(watched, accepting, name: str, fault: Fault) -> None:
    accepting.faults = Faults.script([fault])
    written = watched(COMMANDS[name], accepting.base_url)

    assert written
    assert [text for text in ("SENTINEL", NUMBER) if text in written] == []


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("url", ["http://example.com", "ftp://x", "nonsense"])
def test_no_address_shows_a_key_or_a_number(watched, url: str, words: list[str]) -> None:
    written = watched(words, url)

    assert written
    assert [text for text in ("SENTINEL", NUMBER) if text in written] == []


def test_the_log_that_is_asked_for_shows_no_key_and_no_number(watched, accepting, monkeypatch) -> None:
    logger = logging.getLogger("mobiz_async")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    monkeypatch.setenv("MOBIZ_LOG", "debug")
    accepting.faults = Faults.script([Fault.RESET_AFTER_APPLY])
    written = watched(COMMANDS["send"], accepting.base_url)

    assert "no_answer" in written
    assert [text for text in ("SENTINEL", NUMBER) if text in written] == []


def test_a_bad_record_is_named_not_shown(cli, served, file) -> None:
    ended = cli("send", file("Number", "SENTINEL"), "--list", "1", "--region", "ZA")

    assert ended.code == 2
    assert "SENTINEL" not in ended.out + ended.err
