"""`mobiz sandbox`: a local Mobiz in a terminal."""

from __future__ import annotations

import json
import socket

import pytest

from mobiz_async.sandbox import FACTS, read_log


def test_it_says_how_to_point_the_client_at_it(cli) -> None:
    ended = cli("sandbox", "--lifetime", "1ms")
    lines = ended.out.splitlines()
    url = lines[0].split()[5].rstrip(";")

    assert (ended.code, url.startswith("http://127.0.0.1:")) == (0, True)
    assert [line.strip() for line in lines if "export" in line] == [
        f"export MOBIZ_BASE_URL={url}",
        "export MOBIZ_API_KEY=sandbox-api-key",
        "export MOBIZ_SUBSCRIPTION_KEY=sandbox-subscription-key",
        "export MOBIZ_USERNAME=sandbox-user",
    ]


def test_keys_that_somebody_has_set_are_named_not_shown(cli, monkeypatch) -> None:
    monkeypatch.setenv("MOBIZ_SANDBOX_API_KEY", "SENTINEL")
    monkeypatch.setenv("MOBIZ_SANDBOX_SUBSCRIPTION_KEY", "SENTINEL")
    ended = cli("sandbox", "--lifetime", "1ms")

    assert "SENTINEL" not in ended.out + ended.err
    assert '  export MOBIZ_API_KEY="$MOBIZ_SANDBOX_API_KEY"\n' in ended.out


def test_it_says_so_for_machines(cli) -> None:
    said = json.loads(cli("sandbox", "--lifetime", "1ms", "--json").out)

    assert said.keys() == {"base_url", "pid"}


def test_a_log_is_kept_where_asked_for(cli, tmp_path) -> None:
    cli("sandbox", "--lifetime", "1ms", "--log", tmp_path / "log", "--rate-limit", "5/10", "--faults", "always:quota")

    assert read_log(tmp_path / "log") == []


def test_the_faults_are_listed(cli) -> None:
    ended = cli("sandbox", "--list-faults")

    assert [line for line in ended.out.splitlines() if not line.startswith(" ")] == [fault.value for fault in FACTS]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--faults", "sometimes"], "a fault schedule begins with"),
        (
            ["--faults", "always:slow_answer=2"],
            "no fault 'slow_answer=2'; what seconds it has",
        ),
        (["--rate-limit", "many"], "a rate is written REQUESTS/SECONDS, or every/N"),
        (["--rate-limit", "every/0"], "a rate is written REQUESTS/SECONDS, or every/N"),
        (["--lifetime", "soon"], "a duration is"),
    ],
)
def test_what_cannot_be_read_is_told(cli, words: list[str], said: str) -> None:
    ended = cli("sandbox", *words)

    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_a_port_that_is_taken_is_one_line(cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = cli("sandbox", "--port", taken.getsockname()[1])

    assert (ended.code, ended.out, ended.err) == (2, "", "error: the sandbox cannot run: Address already in use\n")


def test_every_nth_request_may_be_throttled(cli) -> None:
    assert cli("sandbox", "--lifetime", "1ms", "--rate-limit", "every/3").code == 0
