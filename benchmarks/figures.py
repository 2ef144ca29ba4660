"""Medians, ratios and verdicts from the runs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.field import ALL, LIMIT, OURS, PEERS

Runs = Mapping[str, Sequence[Mapping[str, float]]]

LEAST_RATIO = (
    ("ours", "tuned", 1.0),
    ("ours", "naive", 2.0),
    ("checks", "tuned", 0.85),
    ("journal", "tuned", 0.9),
    ("both", "tuned", 0.8),
    ("ours", LIMIT, 0.8),
)
POLITE = ("ours", "checks", "journal", "both")
MOST_STALL = (("p99", 3.0), ("worst", 8.0))
"""Milliseconds, for the contenders of ``POLITE``."""
MOST_MEMORY = 100.0
MOST_GROWTH = 5.0
"""MiB in all, and between the two largest sizes."""
NOTICEABLE = 1.03

COLUMNS = {"rate": ("records/s", 1), "cpu": ("CPU", -1), "p99": ("stall p99", -1), "memory": ("peak memory", -1)}
"""What is compared, and whether more (1) or less (-1) of it is better."""


class Goal(NamedTuple):
    what: str
    wanted: str
    found: str
    met: bool


def median(runs: Runs, name: str, column: str) -> float:
    return statistics.median(run[column] for run in runs[name])


def ratio(runs: Runs, name: str, base: str, column: str = "rate") -> float:
    """Return the median of the ratios within each round."""
    pairs = zip(runs[name], runs[base], strict=False)
    return statistics.median(one[column] / other[column] for one, other in pairs)


def goals(found: Mapping[str, Any]) -> list[Goal]:
    """Return what we hold ourselves to, as far as its contenders took part."""
    runs: Runs = found["bulk"]
    made: list[Goal] = []
    for name, base, least in LEAST_RATIO:
        if name in runs and base in runs:
            value = ratio(runs, name, base)
            made.append(Goal(f"{name} / {base}, records/s", f"≥ {least:.2f}", f"{value:.2f}", value >= least))
    for peer in PEERS:
        if "ours" in runs and peer.name in runs:
            value = ratio(runs, "ours", peer.name)
            made.append(Goal(f"ours / {peer.name}, records/s", "> 1", f"{value:.1f}", value > 1))
    for name in POLITE:
        for column, most in MOST_STALL:
            if name in runs:
                value = median(runs, name, column)
                made.append(Goal(f"{name}, stall {column}", f"≤ {most:.0f} ms", f"{value:.1f} ms", value <= most))
    peaks = {int(size): peak for size, peak in found["memory"].get("ours", {}).items()}
    if peaks:
        most = max(peaks.values())
        made.append(Goal("ours, peak memory", f"< {MOST_MEMORY:.0f} MiB", f"{most:.0f} MiB", most < MOST_MEMORY))
    if len(peaks) > 1:
        small, large = sorted(peaks)[-2:]
        grown = peaks[large] - peaks[small]
        what = f"ours, memory at {large:,} over that at {small:,}"
        made.append(Goal(what, f"≤ {MOST_GROWTH:.0f} MiB", f"{grown:+.1f} MiB", grown <= MOST_GROWTH))
    return made


def losses(runs: Runs, ours: str) -> list[str]:
    """Return, in words, wherever somebody else did noticeably better than ``ours``."""
    words: list[str] = []
    for other in runs:
        if other in OURS or other == LIMIT or ours not in runs:
            continue
        for column, (title, sign) in COLUMNS.items():
            better = ratio(runs, other, ours, column) ** sign
            if better > NOTICEABLE:
                words.append(f"{ALL[other].title} (`{other}`): {better:.2f} times better than `{ours}` in {title}")
    return words
