"""The plan of the package: every module and subpackage, in groups, each below what it may import.

``tests/test_architecture.py`` holds the code to it, and ``generate.py`` draws the map of ``CONTRIBUTING.md`` from it.
"""

from collections.abc import Mapping

PLAN: Mapping[str, tuple[str, ...]] = {
    "Values, words and time": (
        "encoding",
        "legible",
        "errors",
        "settings",
        "clock",
        "cancelling",
        "unseen",
        "models",
        "reports",
        "logs",
    ),
    "Records, and the chunks they travel in": ("recipients", "slicing", "chunking"),
    "One attempt at a request, and what it proves": (
        "wire",
        "verdicts",
        "scrubbing",
        "addresses",
        "upload",
        "patience",
        "transport",
    ),
    "When a request may go, and whether again": ("limits", "queueing", "pacing", "retrying", "delivery"),
    "What is known after a crash": ("journal",),
    "A run of many requests": (
        "stopping",
        "options",
        "splitting",
        "books",
        "late_optouts",
        "resuming",
        "attempts",
        "chunk_life",
        "crew",
        "outlet",
        "callbacks",
        "bulk",
        "batches",
    ),
    "The client": ("coalescing", "arguments", "lifetime", "client", "__init__"),
    "Around the client": ("sandbox", "testing", "cli", "integrations"),
}
"""What a group is for -> its modules. Each may import only from those above it, in its group and in the others."""
