"""The pages of the documentation, and the blocks of code in them.

A page's blocks share a folder, a sandbox and a namespace, and run in the order in which they stand:

* ``python`` and ``sh`` blocks, unless ``<!-- not run: why -->`` stands before them (``<!-- demo -->`` and
  ``<!-- tests -->`` mark the README's two commands, which are run by hand and by ``.ci/run``);
* comments that begin with ``<!-- python`` or ``<!-- sh``: what the reader need not see;
* a ``text`` block behind ``<!-- output -->`` is compared with what the commands before it wrote.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = DOCS / "_generated"

_BLOCK = re.compile(
    r"^(?P<fence>`{3,})(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=fence)\s*$"
    r"|^<!-- (?P<hidden>python|sh)\n(?P<secret>.*?)^-->$"
    r"|^<!-- (?P<word>not run|output|demo|tests)(?::[^\n]*)? -->$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A piece of code: its language, its text, and the line on which it begins."""

    language: str
    code: str
    line: int


def pages() -> list[Path]:
    """Return every page that a reader sees: the README, the other files beside it, the documentation."""
    return [*sorted(ROOT.glob("*.md")), *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]


def blocks(page: Path) -> list[Block]:
    """Return what of a page is run, and the outputs that are compared, as ``output`` blocks."""
    text = page.read_text("utf-8")
    found: list[Block] = []
    word = ""
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 2
        if match["word"]:
            word = match["word"]
            continue
        if match["hidden"]:
            found.append(Block(match["hidden"], match["secret"], line))
        elif word == "output":
            found.append(Block("output", match["code"], line))
        elif not word and match["info"].strip() in ("python", "sh"):
            found.append(Block(match["info"].strip(), match["code"], line))
        word = ""
    return found
