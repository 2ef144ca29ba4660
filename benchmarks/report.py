"""The results as text: tables in Markdown, charts in SVG, and the page of the documentation that shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import charts
from benchmarks.charts import Bar
from benchmarks.field import ALL, LIMIT, LIMIT_TITLE, OURS, PEERS
from benchmarks.figures import Runs, goals, losses, median, ratio

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "benchmarks.md"
GENERATED = DOCS / "_generated"
RESULTS = GENERATED / "benchmarks.json"
_BEGIN, _END = "<!-- generated: begin -->\n", "<!-- generated: end -->\n"
_PEERS = frozenset(peer.name for peer in PEERS)


def _title(name: str) -> str:
    return LIMIT_TITLE if name == LIMIT else ALL[name].title


def _kind(name: str) -> str:
    if name == LIMIT:
        return "limit"
    if name in OURS:
        return "ours"
    return "peer" if name in _PEERS else "hand"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 2) -> str:
    """Return a table whose first ``words`` columns are text and the rest figures."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join([f"| {' | '.join(head)} |", f"|{'|'.join(rule)}|", *lines])


def _rates(runs: Runs) -> str:
    rows = []
    for name, turns in runs.items():
        rates = sorted(run["rate"] for run in turns)
        row = [_title(name), f"`{name}`", f"{median(runs, name, 'rate'):,.0f}", f"{rates[0]:,.0f} to {rates[-1]:,.0f}"]
        row.append(f"{median(runs, name, 'cpu'):.2f} µs")
        if "p99" in turns[0]:
            row += [f"{median(runs, name, column):.1f} ms" for column in ("p99", "worst")]
            row += [f"{median(runs, name, 'memory'):.0f} MiB"]
        else:
            row += [""] * 3
        rows.append(row)
    head = ("", "", "a second", "lowest to highest", "CPU each", "stall p99", "worst stall", "peak memory")
    return _table(head, rows)


def _ratios(runs: Runs) -> str:
    bases = [base for base in ("tuned", "naive", LIMIT) if base in runs]
    columns = [(column, base) for column in ("rate", "cpu") for base in bases]
    rows = [
        [_title(name), f"`{name}`", *[f"{ratio(runs, name, base, column):.2f}" for column, base in columns]]
        for name in runs
    ]
    words = {"rate": "records/s", "cpu": "CPU"}
    return _table(["in ratio to", "", *[f"{words[column]} / `{base}`" for column, base in columns]], rows)


def _memory(peaks: Mapping[str, Mapping[str, float]]) -> str:
    sizes = sorted({int(size) for of in peaks.values() for size in of})
    rows = [
        [_title(name), f"`{name}`", *[f"{of[str(size)]:.0f} MiB" if str(size) in of else "" for size in sizes]]
        for name, of in peaks.items()
    ]
    return _table(["records", "", *[f"{size:,}" for size in sizes]], rows)


def _limit(runs: Runs) -> str:
    parts = {part: median(runs, LIMIT, part) for part in ("make", "encode", "push")}
    return (
        f"The limit: making a record takes {parts['make']:.2f} µs, encoding it in a whole chunk"
        f" {parts['encode']:.2f} µs, pushing its bytes through eight raw sockets {parts['push']:.2f} µs, each measured"
        " alone; a client that did nothing else would send one record in the sum of them."
    )


def _noise(runs: Runs) -> str:
    return (
        "What the machine adds: a loop that does nothing but work for a millisecond at a time had a stall p99 of"
        f" {median(runs, '', 'p99'):.1f} ms and a worst one of {median(runs, '', 'worst'):.1f} ms in the same rounds."
    )


def _lost(found: Mapping[str, Any]) -> str:
    lost = [*losses(found["bulk"], "ours"), *losses(found["singles"], "single")]
    if not lost:
        return "Where others do better: nowhere in this run."
    return "Where others do better:\n\n" + "\n".join(f"- {words}" for words in lost)


def command(found: Mapping[str, Any]) -> str:
    return f"python -m benchmarks {found['arguments']}".strip()


def text(found: Mapping[str, Any]) -> str:
    """Return every table."""
    machine, runs, singles, memory = found["machine"], found["bulk"], found["singles"], found["memory"]
    rounds = max((len(turns) for turns in [*runs.values(), *singles.values()]), default=0)
    made = [
        f"Measured on {found['when']} with `{command(found)}`; medians of up to {rounds} rounds.",
        _table(("", ""), [(name, value) for name, value in machine.items()]),
    ]
    if runs:
        made += [f"### {found['records']:,} records, 10,000 a request", _rates(runs), _ratios(runs)]
    if LIMIT in runs:
        made.append(_limit(runs))
    if found["noise"]:
        made.append(_noise({"": found["noise"]}))
    if any(memory.values()):
        made += ["### Peak memory of the process", _memory(memory)]
    if singles:
        made += [f"### {found['messages']:,} single messages", _rates(singles)]
    held = goals(found)
    if held:
        rows = [(goal.what, goal.wanted, goal.found, "met" if goal.met else "**missed**") for goal in held]
        made += ["### What is held to", _table(("", "wanted", "found", ""), rows, words=1)]
    return "\n\n".join([*made, _lost(found)]) + "\n"


def _chart(runs: Runs, column: str, shown: str, *, scale: float = 1.0, sort: bool = True) -> list[Bar]:
    names = [name for name in runs if column in runs[name][0]]
    if sort:
        best_last = column != "rate"
        names.sort(key=lambda name: median(runs, name, column) * (1 if best_last else -1))
    values = {name: median(runs, name, column) / scale for name in names}
    return [Bar(_title(name), values[name], _kind(name), shown.format(values[name])) for name in names]


def _memory_bars(peaks: Mapping[str, Mapping[str, float]]) -> list[Bar]:
    return [
        Bar(f"{_title(name)}, {int(size):,}", peak, _kind(name), f"{peak:.0f} MiB", gap=at == 0 and place > 0)
        for place, (name, of) in enumerate(peaks.items())
        for at, (size, peak) in enumerate(of.items())
    ]


def drawings(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the charts by file name; only those whose contenders took part."""
    runs, singles = found["bulk"], found["singles"]
    made: dict[str, str] = {}

    def draw(name: str, title: str, subtitle: str, rows: list[Bar], axis: Any, tick: str) -> None:
        if rows:
            made[name] = charts.bars(title, subtitle, rows, axis([row.value for row in rows], tick.format))

    each = f"{found['records']:,} records, 10,000 a request, 8 in flight, {found['machine']['python']}"
    draw(
        "throughput.svg",
        "Records a second (thousands): more is better",
        each,
        _chart(runs, "rate", "{:,.0f}", scale=1e3),
        charts.linear,
        "{:,.0f}",
    )
    draw(
        "stall.svg",
        "Longest time the event loop was held (ms): less is better",
        f"{each}; a logarithmic scale",
        _chart(runs, "worst", "{:,.1f}"),
        charts.logarithmic,
        "{:,g}",
    )
    draw(
        "memory.svg",
        "Peak memory as the number of records grows: less is better",
        "resident memory of the whole process, MiB",
        _memory_bars(found["memory"]),
        charts.linear,
        "{:,.0f}",
    )
    draw(
        "singles.svg",
        "Single messages a second: more is better",
        f"{found['messages']:,} messages, each with an answer of its own",
        _chart(singles, "rate", "{:,.0f}"),
        charts.linear,
        "{:,.0f}",
    )
    return made


def write(found: Mapping[str, Any]) -> list[Path]:
    """Write the charts, and the tables into the page between its marks; return the files."""
    GENERATED.mkdir(exist_ok=True)
    written = []
    for name, drawing in drawings(found).items():
        path = GENERATED / f"benchmarks-{name}"
        path.write_text(drawing, encoding="utf-8")
        written.append(path)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n{text(found)}\n{_END}{after}", encoding="utf-8")
    return [*written, PAGE]
