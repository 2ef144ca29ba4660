"""Text from elsewhere, made fit to be shown: what would command a terminal, or begin a line of a log, stands there."""

from __future__ import annotations

import re

__all__ = ["legible"]

_BREAKS = re.compile("\r\n|[\t\n\v\f\r\x85\u2028\u2029]")
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0, DEL and C1, what turns the direction of the text around it, and bytes of a file's name that are no text."""


def legible(text: str) -> str:
    r"""Return ``text`` in one line, with the characters that are commands written out: an escape as ``\x1b``."""
    if text.isprintable():
        return text
    return _COMMANDS.sub(lambda found: _written(found[0]), _BREAKS.sub(" ", text))


def _written(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004  two digits, or four
