"""A command line to be copied gives a shell the words that it was made of."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys

import pytest

from mobiz_async.cli.shell import quoted

PRINT_BYTES = "import os, sys; print([os.fsencode(word) for word in sys.argv[1:]])"
WORDS = ["run.db", "Hi {name},\nbye %d\\n", "caf\udce9 it's.db", "tab\there", '\x1b[2J$HOME `id` "!x"', "café"]


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh"])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_shell_reads_the_same_words_whatever_is_in_them(monkeypatch, shell: str, encoding: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    line = quoted([sys.executable, "-c", PRINT_BYTES, *WORDS])
    monkeypatch.undo()
    read = subprocess.run([shell, "-c", line], capture_output=True, text=True, check=True)

    assert (read.stdout.strip(), line.isprintable()) == (str(list(map(os.fsencode, WORDS))), True)
    assert line.isascii() or encoding == "utf-8"


def test_what_can_be_shown_is_quoted_as_usual() -> None:
    assert quoted(["mobiz", "send", "a b.csv"]) == "mobiz send 'a b.csv'"
