"""What this site needs beside Sphinx: the diagram of a chunk's life, links by public names, hidden code left out."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import Any

import attrs
from chunk_life import draw
from constructors import with_defaults, without_attrs_words
from docutils import nodes
from docutils.parsers.rst import Directive
from public import public_modules
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import PycodeError
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.pycode import ModuleAnalyzer

from mobiz_async.journal import LIFE

_HIDDEN = re.compile(r"^<!-- .*?-->$\n?", re.MULTILINE | re.DOTALL)


class ChunkLifeDiagram(Directive):
    """``chunk-life``: the diagram, drawn when the site is built."""

    def run(self) -> list[nodes.Node]:
        """Return it as it stands in the page."""
        return [nodes.raw("", f'<div class="drawing">{draw(LIFE)}</div>', format="html")]


def leave_out_hidden(_: Sphinx, __: str, source: list[str]) -> None:
    """Take out what only the tests read; line numbers stay."""
    source[0] = _HIDDEN.sub(lambda match: "\n" * match[0].count("\n"), source[0])


def link_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Link an object that is defined in an inner module to where the public name of it is documented."""
    if node.get("refdomain") != "py":
        return None
    target: str = node["reftarget"]
    inside, _, name = target.rpartition(".")
    wanted = _held_by(inside, name)
    for module in public_modules():
        if name in getattr(module, "__all__", ()) and wanted in (None, getattr(module, name)):
            domain: Any = env.get_domain("py")
            entry = domain.objects.get(f"{module.__name__}.{name}")
            if entry is not None:
                return _reference(app, entry, node, content)
    return None


def _held_by(module: str, name: str) -> object:
    """Return what a target stands for, where it names its module: there are two things called ``Stage``."""
    return getattr(sys.modules.get(module), name, None)


def _reference(app: Sphinx, entry: Any, node: pending_xref, content: nodes.TextElement) -> nodes.reference:
    uri = app.builder.get_relative_uri(node["refdoc"], entry.docname) + f"#{entry.node_id}"
    return nodes.reference("", "", content, internal=True, refuri=uri)


def describe(_: Sphinx, what: str, name: str, value: object, __: object, lines: list[str]) -> None:
    """Read sections such as ``Raises:``; say of a constant what stands under it, not what its type is (``int([x])``).

    Napoleon as an extension would also take the words of an attribute up to a colon for its type.
    """
    match what:
        case "data":
            lines[:] = _said_of(name.rpartition(".")[2], value)
        case "attribute" | "property":
            pass
        case _:
            lines[:] = GoogleDocstring(without_attrs_words(lines), what=what, name=name, obj=value).lines()


def sign(
    _: Sphinx, what: str, __: str, value: Any, ___: object, signature: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """Show the defaults of a class of attrs, and no constructor of a protocol."""
    if what == "class" and getattr(value, "_is_protocol", False):
        return "", returned
    if what == "class" and signature and attrs.has(value):
        return with_defaults(value, signature), returned
    return None


def _said_of(name: str, value: object) -> list[str]:
    for module in [name for name in sys.modules if name.partition(".")[0] == "mobiz_async"]:
        if vars(sys.modules[module]).get(name) is value:
            with contextlib.suppress(PycodeError):
                said = ModuleAnalyzer.for_module(module).find_attr_docs()
                if ("", name) in said:
                    return said["", name]
    return []


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("chunk-life", ChunkLifeDiagram)
    app.connect("source-read", leave_out_hidden)
    app.connect("missing-reference", link_public_name)
    app.connect("autodoc-process-docstring", describe)
    app.connect("autodoc-process-signature", sign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
