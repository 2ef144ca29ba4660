"""Every block of code in the README and the documentation runs as it is written, against a local Mobiz."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import subprocess
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from docs_pages import DOCS, ROOT, Block, blocks, masked, pages, write_outputs

from mobiz_async.sandbox import Faults, Sandbox

KEYS = {
    "MOBIZ_API_KEY": "sandbox-api-key",
    "MOBIZ_SUBSCRIPTION_KEY": "sandbox-subscription-key",
    "MOBIZ_USERNAME": "sandbox-user",
}
LONGEST_COMMAND = 60.0
WRITE = os.environ.get("WRITE_OUTPUTS") == "1"
"""Renew the outputs shown on the pages instead of comparing them."""
FOLLOWED = DOCS / "quickstart.md"
"""Run by a test of its own, in two terminals."""
RUN = [page for page in pages() if blocks(page) and (WRITE or page != FOLLOWED)]


class Course:
    """Runs the blocks of one page, one after the other."""

    def __init__(self, page: Path, sandbox: Sandbox, folder: Path) -> None:
        self.page = page
        self.sandbox = sandbox
        self.folder = folder
        self.namespace: dict[str, Any] = {"__name__": "page", "sandbox": sandbox}
        self.written = ""
        self.outputs: dict[Block, str] = {}

    async def run(self, block: Block) -> None:
        match block.kind:
            case "python":
                await self.python(block)
            case "sh":
                await self.shell(block)
            case "save":
                self.folder.joinpath(block.about).write_text(block.code, "utf-8")
            case "sandbox":
                self.sandbox.faults = Faults.parse(block.code.split("--faults ")[1].split()[0])
            case "output":
                self.outputs[block] = self.written
                if not WRITE:
                    assert masked(block.code) == masked(self.written), f"{self.page}:{block.line}"

    async def python(self, block: Block) -> None:
        tree = compile(
            "\n" * (block.line - 1) + block.code,
            str(self.page),
            "exec",
            ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST,
            dont_inherit=True,
        )
        code = compile(tree, str(self.page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        result = eval(code, self.namespace)
        if inspect.isawaitable(result):
            await result

    async def shell(self, block: Block) -> None:
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-euo",
            "pipefail",
            "-c",
            block.code,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(LONGEST_COMMAND):
                output, _ = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        written = output.decode()
        self.written = written
        code = process.returncode or 0
        ended = code if code >= 0 else 128 - code  # as a shell tells of a signal
        expected = int(block.about or 0)
        assert ended == expected, f"{self.page}:{block.line} ended with {ended}:\n{written}"


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
async def test_a_page_runs_as_it_is_written(
    page: Path, tmp_path: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "80")
    if "mobiz" not in entry_points(group="pytest11").names:  # run from a tree that is not installed
        monkeypatch.setenv("PYTEST_ADDOPTS", "-p pytest_mobiz_async")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    async with Sandbox() as sandbox:
        monkeypatch.setenv("MOBIZ_BASE_URL", sandbox.base_url)
        course = Course(page, sandbox, folder)
        for block in blocks(page):
            await course.run(block)
    if WRITE:
        write_outputs(page, course.outputs)


def test_blocks_of_code_are_run_unless_a_page_says_why_not() -> None:
    fences = {page: len(re.findall(r"^```(?:python|sh)$", page.read_text("utf-8"), re.MULTILINE)) for page in pages()}
    excused = {
        page: len(re.findall(r"^<!-- (?:not run: .+|demo|tests) -->$", page.read_text("utf-8"), re.MULTILINE))
        for page in pages()
    }
    shown = {page: sum(block.shown for block in blocks(page)) for page in pages()}

    assert [page for page in pages() if fences[page] != excused[page] + shown[page]] == []


def test_whoever_follows_a_page_comes_to_the_outputs_that_it_shows() -> None:
    """What the commands before an output need, files and faults, is not made where only the tests see it."""
    needed = re.compile(r"write_text|sandbox\.faults")
    hidden = []
    for page in pages():
        every = blocks(page)
        last = max((place for place, block in enumerate(every) if block.kind == "output"), default=0)
        made = [block for block in every[:last] if not block.shown and needed.search(block.code)]
        hidden += [f"{page.name}:{block.line}" for block in made]

    assert hidden == []


def test_no_two_pages_use_the_same_journal() -> None:
    """Pages are followed one after the other in one folder, and a journal belongs to one run."""
    named = re.compile(r"(?:--journal |SQLiteJournal\(\")([\w.-]+)")
    journals = [
        name
        for page in pages()
        for name in {n for block in blocks(page) if block.shown for n in named.findall(block.code)}
    ]

    assert sorted(journals) == sorted(set(journals))
