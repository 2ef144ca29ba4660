"""Writes the parts of the pages that repeat the code: ``python docs/generate.py``. A test compares them.

Such a part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; NAME is one of ``PARTS``.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.testing import CliRunner
from plan import PLAN

from mobiz_async import errors
from mobiz_async.cli import exits
from mobiz_async.cli.app import mobiz
from mobiz_async.errors import Reason
from mobiz_async.journal import LIFE
from mobiz_async.models import StopReason
from mobiz_async.options import BulkOptions
from mobiz_async.sandbox import FACTS
from mobiz_async.verdicts import ANSWERS, FAILURES, Row

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "docs" / "benchmarks.md"
"""Written by the benchmarks, by themselves."""
PAGES = [ROOT / "CONTRIBUTING.md", *sorted({*(ROOT / "docs").rglob("*.md")} - {MEASURED})]

_PART = re.compile(
    r"(?P<head>^<!-- generated: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(?P<tail>^<!-- end -->$)", re.MULTILINE | re.DOTALL
)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


def command_line() -> str:
    """Return the help of every command, as the command itself writes it."""
    parts = []
    for path in [(), *_commands(mobiz)]:
        result = CliRunner().invoke(mobiz, [*path, "--help"], prog_name="mobiz", terminal_width=88)
        parts.append(f"## `{' '.join(('mobiz', *path))}`\n\n```text\n{result.output.rstrip()}\n```\n")
    return "\n" + "\n".join(parts) + "\n"


def exit_codes() -> str:
    """Return the command's exit codes."""
    return _table(("code", "meaning"), ((str(code.value), meaning) for code, meaning in exits.MEANING.items()))


def _rows(rows: Iterable[Row]) -> str:
    return _table(
        ("what is seen", "outcome", "verdict", "why"),
        ((row.name, f"`{row.verdict.outcome.name}`", f"`{row.verdict.word}`", row.why) for row in rows),
    )


def answers() -> str:
    """Return the verdict table for whole replies."""
    return _rows(ANSWERS)


def failures() -> str:
    """Return the verdict table for attempts without a reply."""
    return _rows(FAILURES)


def chunk_life() -> str:
    """Return the steps of a chunk's life."""
    return _table(
        ("state", "event", "next state"),
        ((f"`{state}`", event.value, f"`{after}`") for (state, event), after in LIFE.items()),
    )


def faults() -> str:
    """Return what the sandbox can do instead of answering."""
    return _table(
        ("fault", "applied", "what the client sees"),
        ((f"`{fault}`", "yes" if facts.applied else "no", facts.peer_sees) for fault, facts in FACTS.items()),
    )


def reasons() -> str:
    """Return why a record is held back."""
    return _table(("`Reason`", "text in counts and reject files"), ((f"`{each.name}`", each.value) for each in Reason))


def error_tree() -> str:
    """Return the tree of the exceptions, as it stands at the head of the module."""
    lines = [line for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")]
    return "```text\n" + "".join(f"{line[4:]}\n" for line in lines) + "```\n"


def _exception(name: str) -> str:
    # Nobody but the library makes them: without the arguments, what they mean is easier to find.
    return f".. autoexception:: mobiz_async.{name}()\n   :show-inheritance:\n   :class-doc-from: class\n"


def error_classes() -> str:
    """Return the directives that document each exception."""
    names = [name for name in errors.__all__ if name != "Reason"]
    entries = "".join(_exception(name) for name in names)
    return "```{eval-rst}\n.. currentmodule:: mobiz_async\n\n" + entries + "```\n"


def stop_reasons() -> str:
    """Return why a run ends early."""
    return _table(("`StopReason`", "meaning"), ((f"`{each.name}`", each.value) for each in StopReason))


def bulk_options() -> str:
    """Return the options of a bulk run, with what stands under each in the code."""
    (tree,) = (
        node
        for node in ast.walk(ast.parse(inspect.getsource(sys.modules[BulkOptions.__module__])))
        if isinstance(node, ast.ClassDef) and node.name == "BulkOptions"
    )
    rows = []
    for node, after in zip(tree.body, [*tree.body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            name = ast.unparse(node.target)
            default = getattr(BulkOptions(), name)
            shown = f"{default:,}" if type(default) is int else str(default)
            rows.append((f"`{name}`", shown, inspect.cleandoc(str(after.value.value)).replace("\n", " ")))
    return _table(("option", "default", "meaning"), rows)


def modules() -> str:
    """Return the modules by the groups of the plan, each with the first line of what it says of itself."""
    parts = []
    for group, names in PLAN.items():
        rows = [row for name in names if name != "__init__" for row in _rows_of(name)]
        parts.append(f"### {group}\n\n{_table(('module', 'what it is'), rows)}")
    return "\n" + "\n".join(parts) + "\n"


def _rows_of(name: str) -> Iterable[tuple[str, str]]:
    module = importlib.import_module(f"mobiz_async.{name}")
    inside = list(pkgutil.walk_packages(module.__path__, f"{name}.")) if hasattr(module, "__path__") else []
    for path, is_package in [(name, bool(inside)), *((info.name, info.ispkg) for info in inside)]:
        if not path.endswith("__main__"):
            said = inspect.getdoc(importlib.import_module(f"mobiz_async.{path}")) or ""
            yield f"`{path.replace('.', '/')}{'/' if is_package else '.py'}`", said.partition("\n")[0]


PARTS: dict[str, Callable[[], str]] = {
    "command-line": command_line,
    "exit-codes": exit_codes,
    "answers": answers,
    "failures": failures,
    "chunk-life": chunk_life,
    "faults": faults,
    "reasons": reasons,
    "error-tree": error_tree,
    "error-classes": error_classes,
    "stop-reasons": stop_reasons,
    "bulk-options": bulk_options,
    "modules": modules,
}


def renewed(text: str) -> str:
    """Return a page with its generated parts as they have to be."""
    return _PART.sub(lambda match: match["head"] + PARTS[match["name"]]() + match["tail"], text)


def main() -> None:
    """Write every page whose parts have changed."""
    for page in PAGES:
        text = page.read_text("utf-8")
        fresh = renewed(text)
        if fresh != text:
            page.write_text(fresh, "utf-8")
            sys.stdout.write(f"{page.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
