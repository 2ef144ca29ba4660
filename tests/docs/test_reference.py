"""Every public name stands in the reference, and says what it is, what it takes and what it raises."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import pkgutil
import re
import textwrap
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import ModuleType
from typing import Any

import attrs
import pytest
from docs_pages import DOCS, ROOT, pages
from public import PUBLIC, public_modules

import mobiz_async
import mobiz_async.integrations
from mobiz_async import errors
from mobiz_async.testing import FakeTransport

ADAPTERS = [
    f"mobiz_async.integrations.{info.name}"
    for info in pkgutil.iter_modules(mobiz_async.integrations.__path__)
    if info.name != "extras"
]
REFERENCE = "\n".join(page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md"))


def public() -> Iterator[tuple[str, Any]]:
    """Every public name, with what it stands for; modules that are public are looked into."""
    for path in (*PUBLIC, *ADAPTERS):
        module = importlib.import_module(path)
        for name in module.__all__:
            if not name.startswith("__"):
                yield f"{path}.{name}", getattr(module, name)


def members(value: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public methods and properties that a class defines itself."""
    for name, member in vars(value).items():
        if name.startswith("_"):
            continue
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(function):
            yield name, function


def callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function and method of ours."""
    for name, value in public():
        if inspect.isclass(value):
            yield from ((f"{name}.{member}", function) for member, function in members(value))
        elif inspect.isroutine(value):
            yield name, value


NAMES = sorted(dict(public()))
CALLABLES = sorted(dict(callables()))


def test_every_public_name_stands_in_the_reference() -> None:
    documented = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)", REFERENCE, re.MULTILINE))
    missing = [
        name
        for name, value in public()
        if not {name, _in_the_root(name, value)} & documented and not isinstance(value, ModuleType)
    ]

    assert missing == []


def _in_the_root(name: str, value: object) -> str:
    """The name that the same thing has in the root, where it has one; what has two is shown under that one."""
    last = name.rpartition(".")[2]
    return f"mobiz_async.{last}" if getattr(mobiz_async, last, None) is value else name


def test_the_reference_builds_on_nothing_that_is_not_public() -> None:
    """What it shows is a public name, or what a public module that it names has."""
    names = {name for name, _ in public()}
    modules = {value.__name__ for _, value in public() if isinstance(value, ModuleType)}
    shown = re.findall(r"^\.\. auto(?!module)\w+:: ([\w.]+)", REFERENCE, re.MULTILINE)
    hidden = [name for name in shown if name not in names and name.rpartition(".")[0] not in modules]

    assert hidden == []


def test_every_public_module_stands_in_the_reference() -> None:
    missing = [
        value.__name__ for _, value in public() if isinstance(value, ModuleType) and value.__name__ not in REFERENCE
    ]

    assert missing == []


def test_examples_and_pages_import_only_what_is_public() -> None:
    """Whoever copies them must not be left with what may change at any time."""
    modules = {*PUBLIC, *ADAPTERS, *(module.__name__ for module in public_modules())}
    texts = {path.name: path.read_text("utf-8") for path in (*pages(), *(ROOT / "examples").glob("*.py"))}
    imported = [
        (name, module)
        for name, text in texts.items()
        for module in re.findall(r"^ *(?:from|import) (mobiz_async[\w.]*)(?: import\b|$)", text, re.MULTILINE)
    ]

    assert len(imported) > len(texts)
    assert [(name, module) for name, module in imported if module not in modules] == []


@pytest.mark.parametrize("name", CALLABLES)
def test_the_first_line_of_a_docstring_is_a_sentence(name: str) -> None:
    said = dict(callables())[name].__doc__ or ""

    assert (ends_well(said), said[:1].islower()) == (True, False)


def test_every_public_class_says_what_it_is() -> None:
    classes = {name: value.__doc__ or "" for name, value in public() if inspect.isclass(value)}
    silent = [name for name, said in classes.items() if not ends_well(said)]

    assert silent == []


def ends_well(docstring: str) -> bool:
    """Whether the first paragraph is a sentence, or leads on to what follows."""
    return inspect.cleandoc(docstring).partition("\n\n")[0].endswith((".", ":"))


def raised_in(function: Callable[..., Any]) -> set[str]:
    """The errors of ours that the body of a function raises by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    raises = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    names = {node.func.id for node in raises if isinstance(node.func, ast.Name)}
    return names & {*errors.__all__, "SourceFileError", "PhoneNumberError"}


def test_every_error_that_a_public_function_raises_is_named_in_its_docstring() -> None:
    silent = []
    for name, function in callables():
        if (function.__doc__ or "").startswith("See ``"):  # says where to read
            continue
        owner = importlib.import_module(function.__module__)
        kind = getattr(owner, function.__qualname__.partition(".")[0], None)
        said = f"{function.__doc__} {kind.__doc__ if inspect.isclass(kind) else ''}"
        silent += [f"{name}: {error}" for error in raised_in(function) if error not in said]

    assert silent == []


UNIT = re.compile(r"second|share|a factor|requests a round trip", re.IGNORECASE)
UNIT_OF_ALL = re.compile(r"(?:, in|[Tt]imes are) seconds")
SENTENCE_END = re.compile(r"[.;](?:\s|$)|\n\n")
NUMBERS = ("float", "float | None")


def is_measured(name: str, kind: object) -> bool:
    return name != "return" and (kind in NUMBERS or name == "retry_after")


def measured() -> Iterator[tuple[str, str, str]]:
    """Every public number with a unit: where it is, its name, and all that is said of it and what it belongs to."""
    for name, value in public():
        if inspect.isclass(value) and attrs.has(value):
            own = _said_under_fields(value)
            fields = [each for each in attrs.fields(value) if each.init and is_measured(each.name, each.type)]
            yield from (
                (name, each.name, f"{value.__doc__}\n\n``{each.name}`` {own.get(each.name)}") for each in fields
            )
        made = [("", value.__init__)] if inspect.isclass(value) and "__init__" in vars(value) else []
        for member, function in [*made, *members(value)] if inspect.isclass(value) else [("", value)]:
            if inspect.isfunction(function) and not (attrs.has(value) and not member):
                said = f"{value.__doc__ if inspect.isclass(value) else ''}\n\n{function.__doc__}"
                kinds = inspect.get_annotations(inspect.unwrap(function))
                yield from ((name, each, said) for each, kind in kinds.items() if is_measured(each, kind))


def _said_under_fields(kind: type) -> dict[str, str]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    return {
        ast.unparse(node.target): str(after.value.value)
        for node, after in itertools.pairwise(body)
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }


def test_every_number_of_time_says_its_unit() -> None:
    """By its name, in a sentence that names it, or for all that stands in a class at once."""
    found = set(measured())
    unit_less = [
        f"{where}.{name}"
        for where, name, said in found
        if "second" not in name
        and not UNIT_OF_ALL.search(said)
        and not any(f"``{name}``" in part and UNIT.search(part) for part in SENTENCE_END.split(said))
    ]

    assert len(found) > 40
    assert sorted(unit_less) == []


def endless() -> Iterator[dict[str, str]]:
    yield {"Number": "27821234567"}
    raise OSError


async def entered(block: AbstractAsyncContextManager[Any]) -> None:
    async with block as run:
        await run.finish()


ROW = {"A": "27821234567", "Number": "27821234567"}
NOT_A_NUMBER = {**ROW, "B": float("nan")}
NAIVE = datetime(2099, 1, 1)  # noqa: DTZ001  which is what is wrong with it
MISTAKES: Mapping[str, tuple[Callable[[mobiz_async.MobizClient], Awaitable[Any]], ...]] = {
    "trigger": (lambda mobiz: mobiz.trigger("", ROW), lambda mobiz: mobiz.trigger("key", NOT_A_NUMBER)),
    "schedule": (
        lambda mobiz: mobiz.schedule("", ROW, send_time="soon"),
        lambda mobiz: mobiz.schedule("key", ROW, send_time=NAIVE),
        lambda mobiz: mobiz.schedule("key", NOT_A_NUMBER, send_time="soon"),
    ),
    "trigger_many": (
        lambda mobiz: mobiz.trigger_many("", [ROW]),
        lambda mobiz: mobiz.trigger_many("key", [ROW], batch_size=0),
        lambda mobiz: mobiz.trigger_many("key", [NOT_A_NUMBER]),
        lambda mobiz: mobiz.trigger_many("key", endless()),
        lambda mobiz: mobiz.trigger_many("key", ROW),
    ),
    "schedule_many": (
        lambda mobiz: mobiz.schedule_many("key", [ROW], send_time=NAIVE),
        lambda mobiz: mobiz.schedule_many("key", [NOT_A_NUMBER], send_time="soon"),
        lambda mobiz: mobiz.schedule_many("key", endless(), send_time="soon"),
        lambda mobiz: mobiz.schedule_many("key", ROW, send_time="soon"),
    ),
    "coalesce": (
        lambda mobiz: entered(mobiz.coalesce("")),
        lambda mobiz: entered(mobiz.coalesce("key", max_batch=0)),
    ),
    "create_list": (
        lambda mobiz: mobiz.create_list("Spring", {"Number": "date"}),
        lambda mobiz: mobiz.create_list("Spring", {"Number": "msisdn"}),
    ),
    "append": (
        lambda mobiz: mobiz.append("", [ROW]),
        lambda mobiz: mobiz.append("1", [ROW] * 10_001),
        lambda mobiz: mobiz.append("1", [NOT_A_NUMBER]),
        lambda mobiz: mobiz.append("1", endless()),
        lambda mobiz: mobiz.append("1", ROW),
    ),
    "send_bulk": (
        lambda mobiz: mobiz.send_bulk("", [ROW]),
        lambda mobiz: mobiz.send_bulk("1", [ROW], chunk_size=0),
        lambda mobiz: mobiz.send_bulk("1", [NOT_A_NUMBER]),
        lambda mobiz: mobiz.send_bulk("1", endless()),
        lambda mobiz: mobiz.send_bulk("1", ROW),
    ),
    "bulk": (
        lambda mobiz: entered(mobiz.bulk("1", [ROW], chunk_size=0)),
        lambda mobiz: entered(mobiz.bulk("1", [NOT_A_NUMBER])),
        lambda mobiz: entered(mobiz.bulk("1", endless())),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
async def test_what_an_operation_raises_for_a_mistake_is_named_in_its_docstring(name: str) -> None:
    """Or in that of the client, or of an operation that it refers to."""
    kind = mobiz_async.MobizClient
    own = getattr(kind, name).__doc__ or ""
    related = [getattr(kind, word).__doc__ for word in re.findall(r"``(\w+)``", own) if word in MISTAKES]
    said = "\n".join(map(str, [kind.__doc__, own, *related]))
    silent = []
    for mistake in MISTAKES[name]:
        async with mobiz_async.MobizClient(transport=FakeTransport()) as mobiz:
            with pytest.raises(Exception) as raised:  # noqa: PT011  of whatever kind
                await mistake(mobiz)
        silent += [raised.typename] if f"``{raised.typename}``" not in said else []

    assert silent == []


def test_every_operation_names_the_vendors_own_word_for_it() -> None:
    words = {
        "trigger": "TriggerMessage",
        "trigger_many": "TriggerMessage",
        "schedule": "Schedule Message",
        "schedule_many": "Schedule Message",
        "append": "SendBulkMessages",
        "create_list": "Creating a Data List",
    }
    said = {name: getattr(mobiz_async.MobizClient, name).__doc__ or "" for name in words}
    silent = [name for name, word in words.items() if word not in said[name]]

    assert silent == []
