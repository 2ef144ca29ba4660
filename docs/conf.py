"""Builds the site: ``nox -s docs``, or ``sphinx-build -W -n --keep-going docs docs/_build/html``. No network needed."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from mobiz_async import __version__  # noqa: E402  the path first

project = "mobiz_async"
author = "The mobiz_async authors"
project_copyright = "The mobiz_async authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "mobiz_docs"]
exclude_patterns = ["_build", "_ext", "_generated"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the measured page writes its own headings

autodoc_member_order = "bysource"
autoclass_content = "both"
autodoc_class_signature = "mixed"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 120
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"

# What is not ours is not in this site: the standard library, aiohttp, type variables.
nitpick_ignore_regex = [
    ("py:.*", r"(?!mobiz_async)\S.*"),
    ("py:class", r"mobiz_async\.sandbox\.(?:timing\.SandboxClock|limits\.Limit)"),  # the page says what goes there
]

html_theme = "furo"
html_title = f"mobiz_async {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": False, "top_of_page_buttons": []}
