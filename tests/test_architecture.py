"""Who may import whom. The order of ``PLAN`` is the architecture: each may import only from those above it."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import attrs
import pytest
from plan import PLAN

PACKAGE = "mobiz_async"
ROOT = Path(__file__).parents[1] / PACKAGE

LAYERS = tuple(itertools.chain.from_iterable(PLAN.values()))

ONLY_IN = {
    "aiohttp": ("upload", "transport", "sandbox", "testing", "cli"),  # its exceptions end in transport
    "yarl": ("addresses", "transport", "sandbox", "testing", "cli"),
    "tenacity": ("retrying",),
    "cattrs": ("wire",),
    "cattr": ("wire",),
    "pytest": ("testing",),  # no run may need it
}

UPWARD_FOR_TYPES = {"errors: mobiz_async.reports"}
"""An error that ended a run carries its report, and a report the error. No other type is worth an import upward."""

MOST_LINES = 400


@attrs.frozen
class Import:
    """One import statement: who imports what, and where."""

    importer: str
    imported: str
    line: int
    for_types: bool = False
    """Whether it never runs, as only type checkers read it."""

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def modules() -> dict[str, Path]:
    return {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _imports(node: ast.AST, importer: str, *, for_types: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(importer, alias.name, child.lineno, for_types)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{importer}:{child.lineno}: imports are absolute here"
            for alias in child.names:
                whole = f"{child.module}.{alias.name}"
                known = whole.removeprefix(f"{PACKAGE}.") in modules()
                yield Import(importer, whole if known else str(child.module), child.lineno, for_types)
        else:
            yield from _imports(child, importer, for_types=for_types or _is_type_checking(child))


@cache
def every_import() -> list[Import]:
    return [found for name, path in modules().items() for found in _imports(ast.parse(path.read_text("utf-8")), name)]


def all_imports() -> list[Import]:
    return [found for found in every_import() if not found.for_types]


def is_ours(found: Import) -> bool:
    return found.imported.partition(".")[0] == PACKAGE


def ours() -> list[Import]:
    return list(filter(is_ours, all_imports()))


def is_upward(found: Import) -> bool:
    return found.imported != PACKAGE and layer_of(found.imported) > layer_of(found.importer)


def layer_of(module: str) -> int:
    return LAYERS.index(module.removeprefix(f"{PACKAGE}.").partition(".")[0])


def test_every_module_has_a_place_in_the_order() -> None:
    there = sorted({name.partition(".")[0] for name in modules()})

    assert there == sorted(LAYERS), "docs/plan.py: a line for each module, below what it imports"


def test_imports_go_one_way_only() -> None:
    wrong = list(map(str, filter(is_upward, ours())))

    assert wrong == [], "docs/plan.py has the order: move what is wanted down, or hand it in"


def test_types_are_imported_upward_in_one_place_only() -> None:
    upward = {f"{found.importer}: {found.imported}" for found in filter(is_ours, every_import()) if is_upward(found)}

    assert upward == UPWARD_FOR_TYPES


def test_nothing_inside_imports_from_the_package_root() -> None:
    wrong = [str(found) for found in ours() if found.imported == PACKAGE]

    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for found in ours():
        imported = found.imported.removeprefix(f"{PACKAGE}.")
        # A package's modules import their siblings while the package's own __init__ is being run: no circle.
        if not found.importer.startswith(f"{imported}."):
            graph[found.importer].add(imported)

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_sandbox_takes_nothing_from_the_client_but_values() -> None:
    allowed = ("sandbox", "models", "errors")

    wrong = [
        str(found)
        for found in ours()
        if found.importer.partition(".")[0] == "sandbox"
        and found.imported.removeprefix(f"{PACKAGE}.").partition(".")[0] not in allowed
    ]

    assert wrong == []


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_that_has_one_home_is_imported_nowhere_else(library: str) -> None:
    wrong = [
        str(found)
        for found in all_imports()
        if found.imported.partition(".")[0] == library and found.importer.partition(".")[0] not in ONLY_IN[library]
    ]

    assert wrong == []


def test_no_module_has_taken_on_a_second_job() -> None:
    lines = {name: len(path.read_text("utf-8").splitlines()) for name, path in modules().items()}

    longer = {name: count for name, count in lines.items() if count > MOST_LINES}
    assert longer == {}, f"over {MOST_LINES} lines: move one of its jobs to where its parts are, or to a new module"


POSSESSIVE_GROUP = re.compile(r"""\b(?:r|rf|fr|rb|br)(["']).*\)(?:[*+?]|\{[0-9,]+\})\+.*\1""")


def test_no_expression_repeats_a_group_possessively() -> None:
    """Pythons before 3.11.5 go on behind a repetition that failed in its middle (python/cpython#106052)."""
    wrong = [
        f"{name}:{number}"
        for name, path in modules().items()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if POSSESSIVE_GROUP.search(line)
    ]

    assert POSSESSIVE_GROUP.search('re.compile(rf"(?:(?:{pattern})?+\\n)*+")')
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from mobiz_async.client import MobizClient", ["wire:1 imports mobiz_async.client"]),
        ("def f():\n    import mobiz_async.bulk", ["wire:2 imports mobiz_async.bulk"]),
        ("if TYPE_CHECKING:\n    from mobiz_async.client import MobizClient", ["wire:2 imports mobiz_async.client"]),
        ("from mobiz_async.errors import MobizError", []),
    ],
)
def test_a_step_the_other_way_is_seen(source: str, expected: list[str]) -> None:
    """The reading itself: what it takes for an import."""
    found = list(_imports(ast.parse(source), "wire"))

    assert expected == [str(one) for one in found if layer_of(one.imported) > layer_of("wire")]
