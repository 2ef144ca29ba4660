"""Where things are written: results to standard output, all else to standard error.

What comes from elsewhere (a server's words, the name of a file) never commands the terminal: see ``legible``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from typing import Any

import attrs
import click
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from mobiz_async.legible import legible

__all__ = ["Screen", "json_option", "plural", "quiet_option"]


def _console(*, stderr: bool) -> Console:
    # No highlighting: colours say what became of records, and numbers are not decoration.
    # A width of none at all is no width: rich would leave out every word.
    width = shutil.get_terminal_size().columns if os.environ.get("COLUMNS") == "0" else None
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


@attrs.frozen
class _Legible:
    """Whatever is shown, with the characters that are commands written out; those of rich itself are kept."""

    shown: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.shown, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment("\n".join(map(legible, segment.text.split("\n"))), segment.style)


def _renderable(shown: RenderableType) -> RenderableType:
    return Text(legible(shown)) if isinstance(shown, str) else _Legible(shown)


_UNESCAPED = re.compile("[\x7f-\x9f\ud800-\udfff]")
"""What commands some terminals, or is no text, and JSON does not ask to be escaped."""


@attrs.frozen
class Screen:
    """Both streams, and how much the user wants to see.

    ``as_json``: standard output gets one JSON value, and nothing else.
    """

    quiet: bool = False
    as_json: bool = False
    out: Console = attrs.field(factory=lambda: _console(stderr=False))
    err: Console = attrs.field(factory=lambda: _console(stderr=True))

    @property
    def live(self) -> bool:
        """Whether something that moves may be drawn on standard error."""
        return self.err.is_terminal and not self.err.is_dumb_terminal and not self.quiet

    def remark(self, text: str) -> None:
        """Tell in passing what goes on, unless told to be quiet."""
        if not self.quiet:
            self.tell(text)

    def tell(self, text: str) -> None:
        """Tell what has to be known, also when quiet. Indented lines are commands to be copied: they are not broken."""
        self.err.print(legible(text), soft_wrap=not self.err.is_terminal or text.startswith(" "))

    def show(self, *shown: RenderableType) -> None:
        """Write a result meant for people, unless told to be quiet or to write JSON."""
        if self.quiet or self.as_json:
            return
        if self.out.is_terminal:
            self.out.print(Group(*map(_renderable, shown)))
            return
        with self.out.capture() as captured:
            self.out.print(Group(*map(_renderable, shown)))
        # Tables are padded to their full width, which in a file is only in the way.
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))

    def write_json(self, value: Any) -> None:
        """Write a result meant for machines, where asked for: one JSON value, indented."""
        if self.as_json:
            readable = "utf" in (sys.stdout.encoding or "").lower()
            text = json.dumps(value, indent=2, ensure_ascii=not readable)
            sys.stdout.write(_UNESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")
            sys.stdout.flush()


def plural(count: int, noun: str) -> str:
    """Return ``1 record``, ``1,200 records``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON report on standard output.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress, no report; errors still show.")
