"""The course of a benchmark: one sink, and every contender in a process of its own, in turn."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, snapshot
from benchmarks.field import BULK, LIMIT, MEMORY, NOISE, PEERS, SINGLES

_PATIENCE = 180
"""Seconds after which a contender is given up."""
_NAIVE_CEILING = 1_000_000
"""Records beyond which a contender that holds them all is not asked: it would take the machine's memory."""

Tell = Callable[[str], None]


@contextlib.contextmanager
def sink(tree: Path, delay: float = 0.0) -> Iterator[int]:
    """Run a sink; give its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sink", "--delay", str(delay)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tree,
        env=snapshot.environment(tree),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def once(name: str, records: int, port: int, tree: Path) -> dict[str, float]:
    """Let one contender run; return what it measured of itself. Raises ``SystemExit`` where it fails."""
    command = [sys.executable, "-m", "benchmarks.contender", name, "--records", str(records), "--port", str(port)]
    done = subprocess.run(
        command,
        cwd=tree,
        env=snapshot.environment(tree),
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _in_turn(
    turns: Iterable[tuple[str, int]], records: int, rounds: int, measure: Callable[[str, int], Any], tell: Tell
) -> dict[str, Any]:
    runs: dict[str, list[dict[str, float]]] = {}
    turns = list(turns)
    for turn in range(rounds):
        tell(f"round {turn + 1} of {rounds}: {records:,} each")
        for name, of in turns:
            if turn < of:
                runs.setdefault(name, []).append(measure(name, records))
    return runs


def run(
    *,
    records: int,
    rounds: int,
    peer_rounds: int,
    messages: int,
    sizes: tuple[int, ...],
    only: frozenset[str],
    delay: float,
    tell: Tell,
) -> dict[str, Any]:
    """Measure; return everything that was measured, round by round, ready to be written as JSON."""
    found: dict[str, Any] = {
        "when": datetime.now(UTC).date().isoformat(),
        "machine": machine.facts(),
        "records": records,
        "messages": messages,
        "delay": delay,
    }

    def wanted(name: str) -> bool:
        return not only or name in only

    bulk = [(contender.name, rounds) for contender in BULK if wanted(contender.name)]
    if wanted(LIMIT):
        bulk.insert(2 if len(bulk) > 1 else 0, (LIMIT, rounds))
    bulk += [(contender.name, peer_rounds) for contender in PEERS if wanted(contender.name)]
    singles = [(contender.name, peer_rounds) for contender in SINGLES if wanted(contender.name)]
    with snapshot.snapshot() as tree, sink(tree, delay) as port:

        def measure(name: str, count: int) -> dict[str, float]:
            return once(name, count, port, tree)

        turns = [*bulk, (NOISE, rounds)] if bulk else []
        found["bulk"] = _in_turn(turns, records, rounds, measure, tell)
        found["noise"] = found["bulk"].pop(NOISE, [])
        found["singles"] = _in_turn(singles, messages, peer_rounds if singles else 0, measure, tell)
        found["memory"] = {name: {} for name in MEMORY if wanted(name)}
        for size in sizes:
            tell(f"memory at {size:,} records")
            for name, peaks in found["memory"].items():
                if size <= _NAIVE_CEILING or name != "naive":
                    peaks[str(size)] = measure(name, size)["memory"]
    return found
