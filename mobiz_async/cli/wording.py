"""What an error says, in the words of the command line: the library names its own keywords."""

from __future__ import annotations

import re

from mobiz_async.errors import MobizError, SourceError

__all__ = ["words_of"]

_SPELLINGS = (
    (re.compile(r"^'([a-z_]+)'(?= must be )"), lambda found: _option(found[1])),
    (re.compile(r"^(price_per_segment)(?= is )"), lambda found: _option(found[1])),
    (re.compile(r"\(encoding='(\w+)' "), lambda found: f"(--encoding {found[1]} "),
    (re.compile(r"^base_url\b"), lambda _: "MOBIZ_BASE_URL"),
    (re.compile(r", or pass allow_insecure=True$"), lambda _: ""),
    (re.compile(r"^create_list needs a username: pass it, or set "), lambda _: "a list needs an owner: set "),
)


def _option(keyword: str) -> str:
    return f"--{keyword.replace('_', '-')}"


def words_of(error: MobizError) -> str:
    """Return what to say of ``error``; of a source that failed, what its own kind of error says as well."""
    words = str(error)
    if isinstance(error, SourceError) and isinstance(error.__cause__, MobizError):
        words = f"{error}: {error.__cause__}"
    for spelling, ours in _SPELLINGS:
        words = spelling.sub(ours, words)
    return words
