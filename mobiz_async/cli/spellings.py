"""Writes a CSV file of South African mobile numbers in the spellings that people type: ``python -m ... PATH COUNT``.

A program of its own, so that what it takes in memory is not counted against the sender. The same count gives the same
file, and no number is in it twice.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["HEADER", "MOST", "SPELLINGS", "main", "number", "rows", "write"]

HEADER = "first_name,cell,town"

SPELLINGS = (
    "0{a}{b}{c}",
    "0{a} {b} {c}",
    "+27{a}{b}{c}",
    "+27 {a} {b} {c}",
    "27{a}{b}{c}",
    "0{a}-{b}-{c}",
    "(0{a}) {b}-{c}",
    "0027 {a} {b} {c}",
    "+27 (0){a} {b} {c}",
    "0{a}.{b}.{c}",
)
"""How ten people write 082 123 4567: ``a`` is 82, ``b`` 123, ``c`` 4567."""

_PREFIXES = (60, 61, 62, 63, 71, 72, 73, 74, 76, 78, 79, 81, 82, 83, 84)
_NAMES = ("Thandi", "Sipho", "Anna", "Pieter", "Lerato", "Johan", "Zanele", "Fatima", "Kagiso", "Naledi", "Ruan")
_TOWNS = ("Cape Town", "Durban", "Soweto", "Gqeberha", "Polokwane", "Mthatha", "Upington")
_SUBSCRIBERS = 10_000_000
_STEP = 6_700_417
"""A prime: steps of it pass through every subscriber number once."""

MOST = len(_PREFIXES) * _SUBSCRIBERS
"""How many different numbers there are."""

_BLOCK = 5_000


def number(index: int) -> tuple[int, int, int]:
    """Return the parts of the number ``index``, from 0: 82, 123 and 4567."""
    position, prefix = divmod(index, len(_PREFIXES))
    subscriber = position * _STEP % _SUBSCRIBERS
    return (_PREFIXES[prefix], *divmod(subscriber, 10_000))


def rows(start: int, stop: int) -> Iterator[str]:
    """Yield the lines from ``start`` to ``stop``, from 0, without the header."""
    forms = [
        f"{{name}},{spelling},{{town}}\n".replace("{b}", "{b:03}").replace("{c}", "{c:04}") for spelling in SPELLINGS
    ]
    for index in range(start, stop):
        a, b, c = number(index)
        # 15 prefixes and 10 spellings would go in step; shifted by 2 a round (17 and 10 share no factor), all meet.
        form = forms[(index + 2 * (index // len(_PREFIXES))) % len(forms)]
        yield form.format(name=_NAMES[index % len(_NAMES)], a=a, b=b, c=c, town=_TOWNS[index % len(_TOWNS)])


def write(path: Path, count: int, unless_orphaned: Callable[[], object] = lambda: None) -> None:
    """Write a header and ``count`` rows. ``unless_orphaned`` is called after every few thousand, and may raise."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(HEADER + "\n")
        for start in range(0, count, _BLOCK):
            file.write("".join(rows(start, min(start + _BLOCK, count))))
            unless_orphaned()


def main(arguments: list[str]) -> None:
    """Write the file that the command line names; where it cannot be, end with 1 and the reason on standard error.

    It ends with its parent, too: nobody would have any use for the file.
    """
    path, count = arguments
    parent = os.getppid()

    def unless_orphaned() -> None:
        if os.getppid() != parent:
            sys.exit("nobody waits for it any more")

    try:
        write(Path(path), int(count), unless_orphaned)
    except OSError as error:
        sys.exit(error.strerror or type(error).__name__)


if __name__ == "__main__":
    main(sys.argv[1:])
