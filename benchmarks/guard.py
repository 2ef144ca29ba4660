"""Keeps the cost a record from creeping up: counts are compared with those that were recorded, not times.

    python -m benchmarks.guard                   Python's instructions and calls, against those in costs.json
    python -m benchmarks.guard --instructions    and the processor's, under valgrind
    python -m benchmarks.guard --against REF     only the processor's, against the package as it is at a git revision
    python -m benchmarks.guard --update          record what is found for this Python

`nox -s guard` does it for every supported Python, and takes the same arguments: `nox -s guard -- --update`.

The counts are the same at every run on every machine, and differ between versions of Python: each has its own. The
processor's instructions differ between builds of Python as well, so they are taken in ratio to a yardstick counted
under the same build: encoding the same records, a whole chunk at a time. Making the records is subtracted from both.

More than a tenth above what is recorded is a regression. More than a tenth below is to be recorded, so that it cannot
be lost again unseen. Exit status 1 for either.
"""

import argparse
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.snapshot import ROOT, environment, snapshot

RECORDED = Path(__file__).with_name("costs.json")
TOLERANCE = 0.10
NEGLIGIBLE = {"record opcodes": 0.5, "record calls": 0.05}
"""A sum this small costs nothing: where a slice of 250 records takes a hundred steps, ten more are no regression."""
VERSION = "{}.{}".format(*sys.version_info)

_PATIENCE = 300
_MADE_BY = {"mappings": "make", "checks": "make", "numbers": "make-numbers", "instances": "make-instances"}
_YARDSTICK = "encode"

Costs = Mapping[str, float]
"""By what is counted, such as "mappings: record opcodes"."""


class Difference(NamedTuple):
    what: str
    recorded: float
    found: float

    def __str__(self) -> str:
        change = self.found / self.recorded - 1 if self.recorded else 1.0
        return f"{self.what}: {self.recorded:,.3f} -> {self.found:,.3f} ({change:+.0%})"


def compare(recorded: Costs, found: Costs) -> tuple[list[Difference], list[Difference]]:
    """Return what has become dearer than recorded, and what cheaper, by more than the tolerance."""
    dearer: list[Difference] = []
    cheaper: list[Difference] = []
    for what, value in found.items():
        known = recorded.get(what, 0.0)
        allowed = max(known * TOLERANCE, NEGLIGIBLE.get(what.partition(": ")[2], 0.0))
        if value - known > allowed:
            dearer.append(Difference(what, known, value))
        elif known - value > allowed:
            cheaper.append(Difference(what, known, value))
    return dearer, cheaper


def counted(tree: Path = ROOT) -> Costs:
    """Count Python's instructions and calls, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cost"]
    done = subprocess.run(
        command, cwd=tree, env=environment(tree), capture_output=True, text=True, timeout=_PATIENCE, check=True
    )
    return flat(json.loads(done.stdout))


def flat(costs: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Costs:
    return {
        f"{scenario}: {unit} {what}": value
        for scenario, units in costs.items()
        for unit, whats in units.items()
        for what, value in whats.items()
    }


def _instructions(scenario: str, tree: Path) -> int:
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, "-m", "benchmarks.cost", scenario]
    done = subprocess.run(
        command, cwd=tree, env=environment(tree), capture_output=True, text=True, timeout=_PATIENCE, check=True
    )
    line = next(line for line in done.stderr.splitlines() if "refs:" in line)
    return int(line.split()[-1].replace(",", ""))


def weighed(revision: str | None = None, scenarios: Sequence[str] = tuple(_MADE_BY)) -> Costs:
    """Count the processor's instructions under valgrind, in ratio to the yardstick's. About a minute on two cores.

    Of the package as it is, or at a git revision; of the benchmarks as they are. What is counted is a copy, compiled
    beforehand: a file that is edited meanwhile would be compiled while it is counted.
    """
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed: apt-get install valgrind")
    needed = sorted({_YARDSTICK, "make", *scenarios, *(_MADE_BY[scenario] for scenario in scenarios)})
    with snapshot(revision) as tree, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(needed, pool.map(lambda scenario: _instructions(scenario, tree), needed), strict=True))
    yardstick = found[_YARDSTICK] - found["make"]
    return {
        f"{scenario}: instructions, in ratio to encoding": round(
            (found[scenario] - found[_MADE_BY[scenario]]) / yardstick, 3
        )
        for scenario in scenarios
    }


def recorded() -> dict[str, dict[str, float]]:
    """Return what is recorded, by version of Python."""
    known: dict[str, dict[str, float]] = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    return known


def record(found: Costs) -> None:
    known = recorded()
    known[VERSION] = {**known.get(VERSION, {}), **found}
    RECORDED.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")


def verdict(before: Costs, found: Costs, reference: str) -> int:
    """Print what differs; return the exit status."""
    dearer, cheaper = compare(before, found)
    for difference in dearer:
        print(f"dearer than {reference}: {difference}")
    for difference in cheaper:
        print(f"cheaper than {reference}: {difference}")
    if not dearer and not cheaper:
        print(f"{len(found)} costs within {TOLERANCE:.0%} of {reference}")
    return 1 if dearer else 0


def main() -> None:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.guard", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--instructions", action="store_true", help="count the processor's too, under valgrind")
    options.add_argument("--against", metavar="REF", help="compare with a git revision instead of what is recorded")
    options.add_argument("--update", action="store_true", help="record what is found")
    given = options.parse_args()
    if given.against:
        sys.exit(verdict(weighed(given.against), weighed(), given.against))
    found = {**counted(), **(weighed() if given.instructions else {})}
    if given.update:
        record(found)
        print(f"recorded for Python {VERSION} in {RECORDED.relative_to(ROOT)}")
        return
    before = recorded().get(VERSION)
    if before is None:
        sys.exit(f"nothing is recorded for Python {VERSION}: --update does")
    status = verdict(before, found, "recorded")
    if status == 0 and compare(before, found)[1]:
        print("record it, so that it stays: python -m benchmarks.guard --update")
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
