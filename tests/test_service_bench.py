"""The benchmark of what the client costs its service runs, and a trigger is not dear."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(*arguments, of="service_bench.py"):
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / of), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_trigger_costs_little_more_cpu_than_a_bare_post():
    ratio = float(re.search(r"trigger / session.post: ([\d.]+)", run("trigger", "--rounds", "2"))[1])

    assert ratio < 2.0  # about 1.4 on a quiet machine


def test_a_handler_is_served_beside_a_bulk_run():
    rows = dict(
        re.findall(r"(alone|beside)\s+(\d+)", run("handler", "--rounds", "1", "--records", "50000", "--alone", "0.5"))
    )

    assert int(rows["alone"]) > 100
    assert int(rows["beside"]) > 0


def test_each_of_many_tasks_gets_its_own_id():
    told = run("--messages", "2000", "--rounds", "1", "--lonely", "20", of="coalesce_bench.py")

    assert "2,000 different ids" in told
    assert float(re.search(r"coalesced / single: ([\d.]+)", told)[1]) > 2  # more than 8 with ten times as many
