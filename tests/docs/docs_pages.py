"""The pages of the documentation, and the blocks of code in them.

A page's blocks share a folder, a sandbox and a namespace, and run in the order in which they stand:

* ``python`` and ``sh`` blocks, unless ``<!-- not run: why -->`` stands before them (``<!-- demo -->`` and
  ``<!-- tests -->`` mark the README's two commands, which are run by hand and by ``.ci/run``);
* ``<!-- sandbox -->``: the next block starts a sandbox in a terminal; the one there takes its ``--faults``;
* comments that begin with ``<!-- python`` or ``<!-- sh``: what the reader need not see;
* ``<!-- save: FILE -->``: the next block is written to a file; ``<!-- ends with: N -->``: its commands fail with N;
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
    r"|^<!-- (?P<word>not run|output|demo|tests|save|sandbox|ends with)(?:: (?P<more>[^\n]*))? -->$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A piece of code: what to do with it, its text, the line on which it begins, and the file or code it is about."""

    kind: str
    code: str
    line: int
    about: str = ""
    span: tuple[int, int] = (0, 0)
    """Where the text stands in the page."""
    shown: bool = True
    """Whether it is code that a reader sees."""


def pages() -> list[Path]:
    """Return every page that a reader sees: the README, the other files beside it, the documentation."""
    return [*sorted(ROOT.glob("*.md")), *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]


def blocks(page: Path) -> list[Block]:
    """Return what of a page is run, and the outputs that are compared, as ``output`` blocks."""
    return [block for block in _all(page) if block.kind != "skipped"]


def steps(page: Path) -> list[Block]:
    """Return what a reader of a page does and sees: commands, files, outputs; also what ``blocks`` leaves out."""
    return [block for block in _all(page) if block.kind == "output" or (block.shown and block.kind != "python")]


def _all(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    found: list[Block] = []
    word = about = ""
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 2
        if match["word"]:
            word, about = match["word"], match["more"] or ""
            continue
        language = (match["info"] or "").strip()
        if match["hidden"]:
            found.append(Block(match["hidden"], match["secret"], line, shown=False))
        elif word in ("output", "save", "sandbox"):
            found.append(Block(word, match["code"], line, about, match.span("code"), word != "output"))
        elif language in ("python", "sh"):
            skipped = word not in ("", "ends with")
            found.append(Block("skipped" if skipped else language, match["code"], line, "" if skipped else about))
        word = about = ""
    return found


TIMES = (
    (re.compile(r"\bin [\d.,]+ s, [\d,]+ records a second"), "in N s, N records a second"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8}-?[0-9a-f-]{20,}\b"), "ID"),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
)


def masked(text: str) -> str:
    """Return ``text`` without what differs from run to run."""
    for pattern, stand_in in TIMES:
        text = pattern.sub(stand_in, text)
    return text.strip()


def write_outputs(page: Path, outputs: dict[Block, str]) -> None:
    """Put what the commands wrote into the page, in the place of the ``output`` blocks."""
    text = page.read_text("utf-8")
    for block, output in sorted(outputs.items(), key=lambda each: each[0].span, reverse=True):
        start, end = block.span
        text = text[:start] + output.rstrip() + "\n" + text[end:]
    page.write_text(text, "utf-8")
