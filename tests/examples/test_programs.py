"""The worker, the notebook and the file example do what their first lines say."""

from __future__ import annotations

import ast
import asyncio
import inspect
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from procrastinate import testing

from mobiz_async.sandbox import Fault, Faults, Injection

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
async def worked(sandbox, example):
    """Queue a job, work until there are none, and return the job's status and how often it was begun."""

    async def run(faults):
        worker = example("worker_procrastinate")
        sandbox.faults = faults
        with worker.queue.replace_connector(testing.InMemoryConnector()) as app:
            async with app.open_async():
                await worker.text.defer_async(fields={"A": "27821234567", "B": "4711"})
            await worker.work(app, wait=False)
            (job,) = app.connector.jobs.values()
            return job["status"], job["attempts"]

    return run


async def test_a_job_of_the_worker_sends_its_text(worked, sandbox):
    assert await worked(None) == ("succeeded", 1)
    assert sandbox.triggered() == {"27821234567": 1}


async def test_the_worker_puts_a_job_back_that_provably_was_not_sent(worked, sandbox):
    assert await worked(Faults.always(Injection(Fault.THROTTLE, retry_after=4000))) == ("todo", 1)
    assert sandbox.triggered() == {}


@pytest.mark.parametrize("fault", [Fault.RESET_AFTER_APPLY, Fault.REJECTED_200])
async def test_the_worker_never_repeats_what_was_refused_or_may_have_gone_out(worked, sandbox, fault):
    assert await worked(Faults.always(fault)) == ("failed", 1)
    assert len(sandbox.requests) == 1


async def test_the_cells_of_the_notebook_run_one_after_another(capsys):
    text = (EXAMPLES / "notebook_cell.py").read_text()
    names = {"__name__": "__main__"}
    for cell in text.split("\n# %%\n"):
        code = compile(cell, "notebook_cell.py", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = eval(code, names)
        if inspect.isawaitable(running):
            await running

    assert capsys.readouterr().out == (
        "accepted 2, skipped 1: {'empty': 1}\nthey arrived: {'27821234567': 1, '27821234568': 1}\n"
    )


async def run_file_example(*arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLES / "bulk_file.py", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode().splitlines()[-3:], err.decode().split("\n")


@pytest.fixture
def recipients(tmp_path):
    file = tmp_path / "recipients.csv"
    numbers = [f"082 {number:07}"[:12] for number in itertools.islice(itertools.count(1234567), 3)]
    file.write_text("Number,Message\n" + "".join(f"{number},Hello\n" for number in numbers) + "12,Hello\n")
    return file


async def test_a_file_is_sent_with_its_bad_rows_named(sandbox, recipients):
    code, out, err = await run_file_example("1", str(recipients))

    assert (code, out[0]) == (0, "accepted 3, rejected 0, skipped 1")
    assert "row 4: Number: phone number too short" in err
    assert sandbox.applied("1") == {"27821234567": 1, "27821234568": 1, "27821234569": 1}


async def test_a_file_that_was_sent_is_not_sent_again(sandbox, recipients):
    await run_file_example("1", str(recipients))
    code, out, _ = await run_file_example("1", str(recipients))

    assert (code, out[0]) == (0, "accepted 3, rejected 0, skipped 1")
    assert sandbox.applied_total == 3


async def test_what_may_have_arrived_is_said_and_not_sent_again(sandbox, recipients):
    sandbox.faults = Faults.always(Fault.ERROR_500_AFTER_APPLY)
    code, out, _ = await run_file_example("1", str(recipients))

    assert (code, out[1]) == (1, "unknown 3: ask Mobiz before sending them again")
    assert "records 1 to 3: SendBulkMessages: outcome unknown" in out[2]
    assert sandbox.applied_total == 3
