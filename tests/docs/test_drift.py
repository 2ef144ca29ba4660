"""What the documentation repeats of the code is what the code says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import chunk_life
import generate
import pytest
from docs_pages import DOCS, ROOT, pages

import mobiz_async
from mobiz_async.cli.exits import MEANING, Exit
from mobiz_async.journal import LIFE
from mobiz_async.models import ResultCode
from mobiz_async.wire import Operation

PACKAGE = Path(mobiz_async.__file__).parent
SOURCES = [*PACKAGE.rglob("*.py"), *ROOT.glob("*mobiz_async*.py")]


def text_of(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def test_generated_parts_are_what_the_code_says() -> None:
    texts = {page.name: page.read_text("utf-8") for page in generate.PAGES}
    stale = [name for name, text in texts.items() if generate.renewed(text) != text]

    assert stale == [], "python docs/generate.py"


def test_every_generated_part_stands_on_a_page() -> None:
    texts = [page.read_text("utf-8") for page in generate.PAGES]
    standing = {name for text in texts for name in re.findall(r"generated: ([\w-]+)", text)}

    assert set(generate.PARTS) == standing


def test_the_diagram_shows_every_state_and_event_of_a_chunks_life() -> None:
    drawing = chunk_life.draw(LIFE)
    events_shown = set(re.findall(r"<tspan[^>]*>([^<]*)</tspan>", drawing))
    states_shown = set(re.findall(r'y="[\d.]+">(\w+)</text>', drawing))

    events = {event.value for _, event in LIFE}
    states = {state.value for state, _ in LIFE} | {state.value for state in LIFE.values()}
    assert (events, states) == (events_shown, states_shown)


def test_the_diagram_has_an_arrow_for_each_pair_of_states() -> None:
    pairs = {(start, end) for (start, _), end in LIFE.items()}

    assert len(pairs) == chunk_life.draw(LIFE).count('class="arrow"')


def test_every_exit_code_has_a_meaning_and_stands_in_the_reference() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", text_of("reference/environment.md"), re.MULTILINE)}

    assert set(Exit) == set(MEANING) == told


def test_every_environment_variable_of_the_code_stands_in_the_reference() -> None:
    named = {name for source in SOURCES for name in re.findall(r"\bMOBIZ_[A-Z_]+\b", source.read_text("utf-8"))}
    told = set(re.findall(r"^\| `(MOBIZ_\w+)`", text_of("reference/environment.md"), re.MULTILINE))

    assert named == told


def test_every_operation_and_result_code_of_the_vendor_stands_in_the_table_of_names() -> None:
    page = text_of("reference/operations.md").replace(" ", "").replace("CreatingaDataList", "CreateDataList")

    missing = [operation for operation in Operation if operation.value not in page]
    codes = {int(code) for code in re.findall(r"^\|(\d)\|API_Trigger", page, re.MULTILINE)}
    assert (missing, codes) == ([], set(ResultCode))


def test_the_documentation_speaks_of_this_version() -> None:
    released = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)

    assert mobiz_async.__version__ == released[0]


def test_every_term_of_the_glossary_is_used_on_a_page() -> None:
    glossary = DOCS / "glossary.md"
    terms = re.findall(r"^(\w.*)\n  ", glossary.read_text("utf-8"), re.MULTILINE)
    words = " ".join(page.read_text("utf-8") for page in pages() if page != glossary).lower()
    spoken = " ".join(words.split())

    assert [term for term in terms if term.lower() not in spoken] == []
    assert sorted(terms, key=str.lower) == terms


def test_what_the_reference_shows_can_be_imported_where_the_site_is_built() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    installed = {re.split(r"[\[><=]", requirement)[0] for requirement in extras["docs"]}
    tests_of_a_journal = (PACKAGE / "testing" / "journal_contract" / "__init__.py").read_text("utf-8")
    (needed,) = re.findall(r'need: pip install ([^"]+)"', tests_of_a_journal)

    assert set(needed.split()) <= installed


def test_the_readme_has_its_two_commands_each_on_one_line() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    commands = re.findall(r"^<!-- (demo|tests) -->\n```sh\n([^\n]+)\n```$", readme, re.MULTILINE)

    assert [name for name, _ in commands] == ["demo", "tests"]
    assert all(command.startswith("python3 -m venv .venv && ") for _, command in commands)


def test_contributing_gives_the_readmes_test_command() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    command = readme.partition("<!-- tests -->\n```sh\n")[2].partition("\n")[0]

    assert command in (ROOT / "CONTRIBUTING.md").read_text("utf-8")


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_has_a_line_of_code_that_is_wider_than_a_terminal(page: Path) -> None:
    fences = re.findall(r"^```(?:sh|text)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    wide = [line for fence in fences for line in fence.splitlines() if len(line) > 120]

    assert wide == []


@pytest.mark.parametrize("page", [*DOCS.rglob("*.md")], ids=lambda page: str(page.relative_to(DOCS)))
def test_no_program_on_a_page_of_the_site_is_wider_than_the_site_shows_at_once(page: Path) -> None:
    fences = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    wide = [line for fence in fences for line in fence.splitlines() if len(line) > 98]

    assert wide == []
