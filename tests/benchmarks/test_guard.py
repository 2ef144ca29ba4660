"""The guard of the cost a record: what it counts never varies, it lets good changes pass and stops bad ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from benchmarks import guard, snapshot

# In a process of its own; what may be put in front of the shape of records is a call for each record, or each slice.
_COUNT = """
import gc
from benchmarks import cost

gc.disable()
{first}
print(cost.json.dumps({{scenario: cost.costs(scenario) for scenario in {scenarios}}}))
"""
_INJECTED = """
from mobiz_async.recipients.intake import Intake

untouched = Intake.stage

def touch(record):
    return record

def stage(self, *settings):
    inner = untouched(self, *settings)
    def outer(records, rows):
        records = {touching}
        return inner(records, rows)
    return outer

Intake.stage = stage
"""


def _counted(tree: Path, *scenarios: str, touching: str | None = None) -> guard.Costs:
    first = "" if touching is None else _INJECTED.format(touching=touching)
    done = subprocess.run(
        [sys.executable, "-c", _COUNT.format(first=first, scenarios=scenarios)],
        cwd=tree,
        env=snapshot.environment(tree),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return guard.flat(json.loads(done.stdout))


def _known() -> Mapping[str, float]:
    known = guard.recorded().get(guard.VERSION)
    if known is None:
        pytest.skip(f"no costs are recorded for Python {guard.VERSION}")
    return known


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    """A copy, so that all of these tests count the same, also while somebody is at work on it."""
    with snapshot.snapshot() as copy:
        yield copy


@pytest.fixture(scope="module")
def counted(tree: Path) -> guard.Costs:
    return guard.counted(tree)


def test_no_record_chunk_or_message_costs_more_than_is_recorded(counted: guard.Costs) -> None:
    """When this fails: make it cheaper, or record it with `nox -s guard -- --update` and say why.

    What became cheaper passes here; `nox -s guard` asks for it to be recorded.
    """
    dearer, _ = guard.compare(_known(), counted)

    assert dearer == [], "\n".join(map(str, dearer))


def test_two_countings_agree_to_the_last_instruction(tree: Path, counted: guard.Costs) -> None:
    again = _counted(tree, "coalesce", "numbers")

    assert again.keys() == {what for what in counted if what.startswith(("coalesce: ", "numbers: "))}
    assert counted == {**counted, **again}


def test_one_more_call_for_each_record_is_caught(tree: Path, counted: guard.Costs) -> None:
    found = _counted(tree, "mappings", "checks", touching="list(map(touch, records))")

    dearer, _ = guard.compare(counted, found)

    assert {
        "mappings: record opcodes",
        "mappings: record calls",
        "checks: record opcodes",
        "checks: record calls",
    } == {difference.what for difference in dearer}


def test_one_more_call_for_each_slice_of_records_passes(tree: Path, counted: guard.Costs) -> None:
    found = _counted(tree, "mappings", "checks", touching="touch(records)")

    assert guard.compare(counted, found) == ([], [])


RECORDED: dict[str, float] = {"mappings: record opcodes": 100.0, "trigger: message calls": 100.0}


@pytest.mark.parametrize(
    ("found", "dearer", "cheaper"),
    [
        ({}, [], []),
        ({"mappings: record opcodes": 110.0}, [], []),
        ({"mappings: record opcodes": 110.1}, ["mappings: record opcodes"], []),
        ({"trigger: message calls": 89.0}, [], ["trigger: message calls"]),
        ({"trigger: message calls": 91.0}, [], []),
        ({"new: record calls": 1.0}, ["new: record calls"], []),
    ],
)
def test_a_tenth_is_tolerated_and_no_more(found: dict[str, float], dearer: list[str], cheaper: list[str]) -> None:
    differences = guard.compare(RECORDED, found)

    assert (dearer, cheaper) == tuple([difference.what for difference in side] for side in differences)


def test_a_sum_that_costs_nothing_is_no_regression() -> None:
    assert guard.compare({"mappings: record opcodes": 0.9}, {"mappings: record opcodes": 1.3}) == ([], [])


@pytest.mark.parametrize(("factor", "expected"), [(1.0, 0), (1.2, 1), (0.8, 0)])
def test_only_what_became_dearer_fails_against_a_revision(
    factor: float, expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {what: value * factor for what, value in RECORDED.items()}

    assert expected == guard.verdict(RECORDED, found, "main")
    assert "main" in capsys.readouterr().out


def test_recording_leaves_other_versions_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({"3.10": {"a: record calls": 1.0}, guard.VERSION: {"b: record calls": 2.0}}), "utf-8")
    monkeypatch.setattr(guard, "RECORDED", path)

    guard.record({"c: record calls": 3.0})

    assert guard.recorded() == {
        "3.10": {"a: record calls": 1.0},
        guard.VERSION: {"b: record calls": 2.0, "c: record calls": 3.0},
    }


VALGRIND = """#!/bin/sh
for scenario in "$@"; do :; done
case "$scenario" in
    make) refs=1,000;; make-instances) refs=1,100;; encode) refs=3,000;; checks) refs=6,000;; instances) refs=8,100;;
esac
echo "==1== I   refs:      $refs" >&2
"""


def test_instructions_are_in_ratio_to_encoding_without_the_making(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "valgrind"
    program.write_text(VALGRIND, "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    found = guard.weighed(scenarios=("checks", "instances"))

    assert found == {
        "checks: instructions, in ratio to encoding": 2.5,
        "instances: instructions, in ratio to encoding": 3.5,
    }
