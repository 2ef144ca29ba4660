"""Follows the quickstart to the letter, in an empty folder: ``python follow_quickstart.py BIN``.

BIN is a folder with the ``mobiz`` and ``python`` to use: of an environment into which the wheel was installed, say.
Only the page's own commands are typed, in the terminals that it says; what differs is the port, since 8025 may be
taken. It needs nothing but the standard library, and ends with an error where a step does.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from docs_pages import DOCS, Block, masked, steps

PORT = "8025"
LONGEST = 60.0


def free_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return str(taken.getsockname()[1])


class Reader:
    """A reader with two terminals."""

    def __init__(self, folder: Path, commands: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.exports = ""
        self.written = ""
        self.server: subprocess.Popen[str] | None = None
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MOBIZ_")}
        self.environment = inherited | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "80"}

    def follow(self, step: Block) -> None:
        code = step.code.replace(PORT, self.port)
        if step.kind == "save":
            self.folder.joinpath(step.about).write_text(code, "utf-8")
        elif step.kind == "output":
            assert masked(step.code) == masked(self.written), f"line {step.line}"
        elif "pip install" in code:
            return  # that is how BIN came about
        elif code.startswith("mobiz sandbox"):
            self.start(code)
        elif code.startswith("export "):
            self.exports += code
        else:
            self.type(code, int(step.about or 0))

    def start(self, code: str) -> None:
        """Start the server in the first terminal, and wait until it says that it is there."""
        # Unbuffered, so that what it says arrives although nobody sits there.
        self.server = subprocess.Popen(
            ["bash", "-c", f"exec {code}"],
            cwd=self.folder,
            env=self.environment | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.server.stdout is not None
        line = self.server.stdout.readline()
        assert self.port in line, line

    def type(self, code: str, expected: int) -> None:
        """Type commands into the second terminal."""
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{self.exports}{code}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        self.written = ran.stdout
        ended = ran.returncode if ran.returncode >= 0 else 128 - ran.returncode
        assert ended == expected, f"{code}ended with {ended}:\n{ran.stdout}"

    def totals(self) -> dict[str, int]:
        """What the server says has arrived in list 1."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/sandbox/summary", timeout=LONGEST) as answer:
            totals: dict[str, int] = json.load(answer)["lists"]["1"]
        return totals

    def leave(self) -> None:
        if self.server is not None:
            self.server.terminate()
            self.server.communicate(timeout=LONGEST)


def follow(commands: Path, folder: Path) -> dict[str, int]:
    """Do what the quickstart says, compare what it shows; return what has arrived in the end."""
    reader = Reader(folder, commands)
    try:
        for step in steps(DOCS / "quickstart.md"):
            reader.follow(step)
        return reader.totals()
    finally:
        reader.leave()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="quickstart-") as folder:
        totals = follow(Path(sys.argv[1]).absolute(), Path(folder))
    assert (totals["records"], totals["distinct"], totals["repeated"]) == (50_003, 50_003, 0), totals
    sys.stdout.write("the quickstart leads to a send, a crash and a resume\n")


if __name__ == "__main__":
    main()
