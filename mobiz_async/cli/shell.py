"""Command lines to be copied: a shell must read from them what they stand for, whatever is in a word.

A name that is shown as something else names something else: with a journal of another name all would be sent again.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable

from mobiz_async.legible import legible

__all__ = ["quoted"]

_AS_THEY_ARE = frozenset(range(0x20, 0x7F)) - frozenset(b"\\'\"!`$")
_SHORT = {ord("\n"): r"\n", ord("\t"): r"\t", ord("\\"): r"\\"}


def quoted(words: Iterable[str]) -> str:
    """Return ``words`` in one line, for a shell.

    What cannot be shown as it is, be it that it commands terminals or that standard error cannot write it, is made by
    ``printf``: ``$'...'`` would be another name in a shell that does not know it.
    """
    return " ".join(shlex.quote(word) if _can_be_shown(word) else _printed(word) for word in words)


def _can_be_shown(word: str) -> bool:
    try:
        word.encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return legible(word) == word


def _printed(word: str) -> str:
    plain = (chr(byte) if byte in _AS_THEY_ARE else _SHORT.get(byte) or f"\\0{byte:03o}" for byte in os.fsencode(word))
    return f"\"$(printf %b '{''.join(plain)}')\""
