"""Links inside the documentation lead somewhere: to a file that is there, and to a heading in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs_pages import DOCS, ROOT, pages

_CODE = re.compile(r"^(`{3,}).*?^\1$|`[^`\n]+`|<!--.*?-->", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_TOCTREE = re.compile(r"^:::\{toctree\}\n(.*?)^:::$", re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    return [link for link in _LINK.findall(_CODE.sub("", page.read_text("utf-8"))) if "://" not in link]


def headings(page: Path) -> set[str]:
    """The anchors that GitHub and the site give to a page's headings."""
    lines = re.findall(r"^#+ (.+)$", _CODE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_inside_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in headings(target)):
            broken.append(link)

    assert broken == []


def test_every_page_of_the_site_is_reached_from_its_contents() -> None:
    named = {
        (page.parent / f"{entry.strip()}.md").resolve()
        for page in pages()
        for tree in _TOCTREE.findall(page.read_text("utf-8"))
        for entry in tree.splitlines()
        if entry.strip() and not entry.startswith(":")
    }
    site = {page for page in pages() if DOCS in page.parents and page.name != "index.md"}

    assert sorted(site) == sorted(page for page in named if page.exists() and page.name != "index.md")


def test_every_link_outside_is_https_or_this_machine() -> None:
    outside = {
        link
        for page in pages()
        for link in _LINK.findall(_CODE.sub("", page.read_text("utf-8")))
        if "://" in link and not link.startswith(("https://", "http://127.0.0.1"))
    }

    assert outside == set()
