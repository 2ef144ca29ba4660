"""A sandbox as a process of its own: ready, asked, ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest

from mobiz_async.sandbox import EveryNth, RateLimit, Sandbox, SandboxProcess, main, read_log, serve
from mobiz_async.sandbox.serving import _parser

COMMAND = [sys.executable, "-m", "mobiz_async.sandbox"]


async def test_a_sandbox_process_serves_logs_and_can_be_asked(tmp_path, peer_of):
    log = tmp_path / "log"
    async with SandboxProcess(["--log", str(log), "--faults", "script:reset_after_apply"]) as sandbox:
        peer = peer_of(sandbox)
        with pytest.raises(OSError, match=r".+"):
            await peer.append([{"Number": "27820000001"}])
        await peer.append([{"Number": "27820000002"}])
        summary, requests, pid = await sandbox.summary(), await sandbox.requests(), sandbox.pid

    assert (summary["records"], summary["distinct"], len(requests)) == (2, 2, 2)
    assert [entry.identities for entry in read_log(log)] == [("27820000001",), ("27820000002",)]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_the_keys_of_a_process_go_through_its_environment(peer_of):
    async with SandboxProcess(api_key="other", subscription_key="another") as sandbox:
        arguments = await asyncio.create_subprocess_exec("ps", "-o", "args=", str(sandbox.pid), stdout=subprocess.PIPE)
        shown, _ = await arguments.communicate()
        reply = await peer_of(sandbox).post(
            "/customers/CustomerList-append?api_key=other&list_id=1",
            [{"Number": "1"}],
            headers={"Ocp-Apim-Subscription-Key": "another", "Content-Type": "application/json"},
        )

    assert reply.status == 200
    assert b"other" not in shown


async def test_a_process_imports_from_where_its_parent_does(monkeypatch, tmp_path):
    """Which may be a zip file that is run, of which no other process knows."""
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'seen')!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)

    async with SandboxProcess():
        assert (tmp_path / "seen").exists()


async def test_a_process_that_does_not_become_ready_is_a_runtime_error(tmp_path):
    with pytest.raises(RuntimeError, match="did not become ready"):
        async with SandboxProcess(["--log", str(tmp_path)]):
            pytest.fail("a directory is no log")


async def test_a_process_that_was_not_started_has_no_pid():
    sandbox = SandboxProcess()
    await sandbox.__aexit__()

    with pytest.raises(RuntimeError, match="async with"):
        _ = sandbox.pid


async def test_a_process_that_is_killed_ends_the_block_quietly():
    async with SandboxProcess() as sandbox:
        os.kill(sandbox.pid, signal.SIGKILL)


async def test_a_process_that_does_not_end_by_itself_is_terminated(monkeypatch):
    monkeypatch.setattr("mobiz_async.sandbox.process._GRACE", 0.01)

    async with SandboxProcess() as sandbox:
        pid = sandbox.pid
        os.kill(pid, signal.SIGSTOP)  # deaf to its standard input and to SIGTERM

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_order(number):
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as process:
        ready = json.loads(process.stdout.readline())
        process.send_signal(number)

        assert (ready["pid"], process.wait(timeout=10)) == (process.pid, 0)


def test_the_end_of_standard_input_ends_the_process():
    done = subprocess.run(
        [*COMMAND, "--until-stdin-closes"], input=b"ignored\n", capture_output=True, timeout=20, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")


def test_the_lifetime_ends_the_process():
    done = subprocess.run([*COMMAND, "--lifetime", "0.01"], capture_output=True, timeout=20, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


async def test_serve_says_where_it_is_and_ends_with_its_lifetime(capsys):
    await serve(Sandbox(), lifetime=0.001)

    ready = json.loads(capsys.readouterr().out)
    assert ready["pid"] == os.getpid()
    assert ready["base_url"].startswith("http://127.0.0.1:")


async def test_serve_ends_with_standard_input(monkeypatch, capsys):
    reading, writing = os.pipe()
    monkeypatch.setattr("mobiz_async.sandbox.serving._STDIN", reading)
    os.write(writing, b"x")
    os.close(writing)

    await serve(Sandbox(), until_stdin_closes=True)

    os.close(reading)
    assert "base_url" in capsys.readouterr().out


def test_main_runs_a_sandbox_and_returns_0(capsys):
    assert main(["--lifetime", "0.001"]) == 0
    assert "base_url" in capsys.readouterr().out


def test_main_says_why_it_cannot_run(tmp_path, capsys):
    assert main(["--log", str(tmp_path)]) == 1
    assert "the sandbox cannot run" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--faults", "often"], ["--rate-limit", "fast"], ["--port", "x"]])
def test_a_wrong_argument_is_a_usage_error(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "expected"), [("every/3", EveryNth(3)), ("10/2.5", RateLimit(10, 2.5))])
def test_a_rate_limit_can_be_written_as_one_word(text, expected):
    assert _parser().parse_args(["--rate-limit", text]).rate_limit == expected
