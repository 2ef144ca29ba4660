"""The benchmarks themselves: everybody sends what they say, figures are right, charts keep inside their frame."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from benchmarks import charts, course, figures, machine, report, snapshot
from benchmarks.charts import Bar
from benchmarks.field import ALL, BULK, LIMIT, NOISE, SINGLES

SVG = "{http://www.w3.org/2000/svg}"
NEEDS = {"httpx": "httpx", "requests": "requests", "elastic": "elasticsearch", "elastic-orjson": "orjson"}


@pytest.fixture(scope="module")
def port():
    with course.sink(snapshot.ROOT) as number:
        yield number


@pytest.mark.parametrize("name", [*ALL, LIMIT])
def test_a_contender_sends_everything_and_measures_itself(name: str, port: int) -> None:
    """It fails of itself when what was accepted is not what it was given."""
    pytest.importorskip(NEEDS.get(name, "aiohttp"))
    single = name in {contender.name for contender in SINGLES}

    measured = course.once(name, 200 if single else 5_000, port, snapshot.ROOT)

    assert {"rate", "cpu"} <= measured.keys()
    assert min(measured.values()) > 0


def test_what_the_machine_adds_to_stalls_is_measured(port: int) -> None:
    assert {"p99", "worst"} == course.once(NOISE, 10_000, port, snapshot.ROOT).keys()


def test_the_sink_ends_with_whoever_started_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sink"],
        cwd=snapshot.ROOT,
        input="",
        capture_output=True,
        timeout=20,
        check=True,
    )

    assert done.stdout.strip().isdigit()


def _run(rate: float, **more: float) -> dict[str, float]:
    return {"rate": rate, "cpu": 1e6 / rate, "p99": 1.0, "worst": 2.0, "memory": 50.0, **more}


@pytest.fixture
def found():
    return {
        "when": "2026-01-31",
        "machine": {"processor": "one", "python": "CPython", "load": "0.10"},
        "records": 20_000,
        "messages": 100,
        "arguments": "--docs",
        "bulk": {
            "tuned": [_run(100.0, worst=250.0), _run(50.0, worst=250.0), _run(200.0, worst=250.0)],
            LIMIT: [{"rate": 400.0, "cpu": 1.0, "make": 1.0, "encode": 0.5, "push": 0.5}],
            "ours": [_run(90.0), _run(100.0), _run(180.0)],
            "httpx": [_run(45.0, memory=20.0)],
        },
        "noise": [{"p99": 1.2, "worst": 3.4}],
        "singles": {"single-by-hand": [_run(10.0)], "single": [_run(20.0)], "coalesced": [_run(300.0)]},
        "memory": {"ours": {"250000": 50.0, "1000000": 58.0}},
    }


def test_a_ratio_is_taken_within_each_round(found) -> None:
    assert figures.ratio(found["bulk"], "ours", "tuned") == 0.9


def test_a_contender_of_fewer_rounds_is_compared_in_those(found) -> None:
    assert figures.ratio(found["bulk"], "ours", "httpx") == 2.0


def test_goals_say_what_was_missed(found) -> None:
    missed = {goal.what: goal.found for goal in figures.goals(found) if not goal.met}

    assert missed == {
        "ours / tuned, records/s": "0.90",
        "ours / limit, records/s": "0.23",
        "ours, memory at 1,000,000 over that at 250,000": "+8.0 MiB",
    }


def test_where_others_do_better_is_said(found) -> None:
    assert figures.losses(found["bulk"], "ours") == [
        "aiohttp, msgspec, bounded (`tuned`): 1.11 times better than `ours` in records/s",
        "aiohttp, msgspec, bounded (`tuned`): 1.11 times better than `ours` in CPU",
        "httpx, gather (`httpx`): 2.50 times better than `ours` in peak memory",
    ]


def test_the_page_is_written_between_its_marks_and_again(found, tmp_path, monkeypatch) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{report._BEGIN}old\n{report._END}after\n", "utf-8")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "GENERATED", tmp_path / "_generated")

    report.write(found)
    once = page.read_text("utf-8")
    report.write(found)

    assert once == page.read_text("utf-8")
    assert re.fullmatch(r"before\n<!-- .*old.*|before\n<!-- .*-->\nafter\n", once, re.DOTALL)
    assert "old" not in once
    assert "`python -m benchmarks --docs`" in once


def _drawings(found) -> list[str]:
    wide = [Bar(f"a name as long as names get, {size:,}", size, "ours", f"{size:,} MiB") for size in (1, 10_000_000)]
    return [*report.drawings(found).values(), charts.bars("Wide", "wide", wide, charts.linear([1e7], "{:,.0f}".format))]


def test_nothing_in_a_chart_leaves_its_frame(found) -> None:
    """By the width of characters in a wide font: 0.6 of their height on average."""
    for drawing in _drawings(found):
        frame = ET.fromstring(drawing)
        _, _, width, height = map(float, frame.attrib["viewBox"].split())
        for text in frame.iter(f"{SVG}text"):
            size = {"title": 16, "quiet": 12}.get(text.attrib.get("class", ""), 13)
            taken = len(text.text or "") * size * 0.55
            share = {"end": 1.0, "middle": 0.5}.get(text.attrib.get("text-anchor", ""), 0.0)
            left = float(text.attrib["x"]) - share * taken
            assert left >= 0, text.text
            assert left + taken <= width, text.text
            assert float(text.attrib["y"]) <= height, text.text
        for bar in frame.iter(f"{SVG}rect"):
            assert float(bar.attrib["x"]) + float(bar.attrib["width"]) <= width


def test_charts_can_be_read_on_white_and_on_black(found) -> None:
    for drawing in _drawings(found):
        assert "prefers-color-scheme: dark" in drawing
        assert "fill: currentColor" in drawing


@pytest.mark.parametrize(("values", "expected"), [([9.0], [0, 2, 4, 6, 8]), ([673.0], [0, 200, 400, 600])])
def test_ticks_of_a_linear_axis_are_round(values: list[float], expected: list[float]) -> None:
    assert expected == list(charts.linear(values, str).ticks)


def test_a_logarithmic_axis_begins_below_its_smallest_value() -> None:
    axis = charts.logarithmic([2.0, 250.0], str)

    assert list(axis.ticks) == [1.0, 10.0, 100.0]
    assert (axis.place(1.0), axis.place(250.0)) == (0.0, 1.0)


def test_results_can_be_drawn_again_from_json(found) -> None:
    again = json.loads(json.dumps(found))

    assert report.text(found) == report.text(again)


def test_names_of_contenders_are_distinct() -> None:
    assert len({contender.title for contender in (*BULK, *SINGLES)}) == len(BULK) + len(SINGLES)


def test_the_machine_says_what_it_is() -> None:
    facts = machine.facts()

    assert list(facts) == ["mobiz_async", "processor", "system", "python", "libraries", "load"]
    assert all(facts.values())
