"""What is public: sorted, complete, documented, and importable with the required dependencies alone."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest
from public import PUBLIC

import mobiz_async

ROOT = Path(mobiz_async.__file__).parent
EXTRAS = (
    "click",
    "rich",
    "phonenumbers",
    "pyarrow",
    "python_calamine",
    "zstandard",
    "opentelemetry",
    "prometheus_client",
    "structlog",
    "pydantic",
    "pytest",
    "hypothesis",
)


@pytest.fixture(params=PUBLIC)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


def test_all_is_sorted_and_names_nothing_twice(module: ModuleType) -> None:
    names = list(getattr(module, "__all__", []))

    assert sorted(set(names), key=_constants_then_classes) == names


def _constants_then_classes(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_every_name_in_all_is_there(module: ModuleType) -> None:
    assert [name for name in getattr(module, "__all__", []) if not hasattr(module, name)] == []


def test_the_root_exports_everything_that_it_imports() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text("utf-8"))
    imported = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]

    assert sorted([*imported, "__version__"]) == sorted({*mobiz_async.__all__, "__version__"})


def test_the_root_has_no_logic() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text("utf-8"))

    assert {type(node) for node in tree.body} <= {ast.Expr, ast.ImportFrom, ast.Assign}


def test_the_root_exports_every_exception() -> None:
    assert set(mobiz_async.errors.__all__) <= set(mobiz_async.__all__)


def test_every_public_name_has_a_docstring(module: ModuleType) -> None:
    undocumented = []
    for name in getattr(module, "__all__", []):
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            if not inspect.getdoc(value):
                undocumented.append(name)
            undocumented.extend(f"{name}.{member}" for member in _undocumented_members(value))

    assert undocumented == []


def _undocumented_members(kind: object) -> list[str]:
    if not inspect.isclass(kind):
        return []
    return [
        name
        for name, member in vars(kind).items()
        if not name.startswith("_")
        and (inspect.isroutine(member) or isinstance(member, property | classmethod | staticmethod))
        and not inspect.getdoc(getattr(kind, name))
    ]


MADE_BY_THE_LIBRARY = {"BulkRun", "Coalescer", "Recipients"}
"""What their constructors take is nobody's business."""

PUT_IN_OTHER_WORDS = {"Body", "Choice", "Limit", "SandboxClock"}
"""The reference says which public things go there."""


def _signatures(module: ModuleType) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield each public function, method, property and class with fields, and its annotations."""
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value):
            yield name, value.__annotations__
        if not inspect.isclass(value):
            continue
        yield name, inspect.get_annotations(value)
        for member, held in vars(value).items():
            if member.startswith("_") and (member != "__init__" or name in MADE_BY_THE_LIBRARY):
                continue
            function = held.fget if isinstance(held, property) else getattr(held, "__func__", held)
            if inspect.isfunction(function):
                yield f"{name}.{member}", inspect.unwrap(function).__annotations__


def _names_in(annotation: object) -> set[str]:
    if not isinstance(annotation, str):
        return set()
    nodes = list(ast.walk(ast.parse(annotation, mode="eval")))
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def _defined_inside() -> set[str]:
    """The classes and aliases that our modules define."""
    names = set()
    for info in pkgutil.walk_packages(mobiz_async.__path__, "mobiz_async."):
        if info.name.startswith("mobiz_async.cli") or info.name.endswith("__main__"):
            continue
        tree = ast.parse(inspect.getsource(importlib.import_module(info.name)))
        names |= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        assigned = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
        names |= {target.id for target in assigned if isinstance(target, ast.Name)}
    return names


def test_what_a_public_signature_names_is_public() -> None:
    """Who annotates what such a function takes or returns must not have to import from inside."""
    modules = [importlib.import_module(name) for name in PUBLIC]
    known = {name for module in modules for name in module.__all__} | PUT_IN_OTHER_WORDS
    inside = _defined_inside() - known
    hidden = [
        (where, name)
        for module in modules
        for where, annotations in _signatures(module)
        for annotation in annotations.values()
        for name in sorted(_names_in(annotation) & inside)
    ]

    assert hidden == []


TESTS = "mobiz_async.testing.journal_contract"

BLOCKED = """
    import sys

    class Blocked:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {extras!r}:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

    sys.meta_path.insert(0, Blocked())
    import {module}
    print({module}.__name__)
"""


def imported(name: str) -> subprocess.CompletedProcess[str]:
    program = textwrap.dedent(BLOCKED).format(extras=set(EXTRAS), module=name)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", sorted({*PUBLIC} - {TESTS}))
def test_importing_needs_no_extra(name: str) -> None:
    ran = imported(name)

    assert (f"{name}\n", "") == (ran.stdout, ran.stderr)


def test_tests_to_derive_from_need_what_runs_them_and_say_so() -> None:
    ran = imported(TESTS)

    told = ran.stderr.splitlines()[-1]
    assert told == "ImportError: the tests of a journal need: pip install pytest pytest-asyncio"


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "py.typed").exists()
