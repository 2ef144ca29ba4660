r"""Keys that a reply quotes: found in whatever way they are spelt, and taken out of it.

Who answers may have had a key through a URL, a form, JSON and a page of HTML, and through several of them. So each
character of a key is looked for in every spelling that they have for it, and in any case: ``+`` also as ``\u002B``
(which .NET makes of it in JSON), ``%2B``, ``%252B``, ``&#43;``, or the blank that a form's reader makes of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from html.entities import html5

from mobiz_async.models import Secret

__all__ = ["scrubber"]

_SHORTEST = 8
"""Characters of a key that is looked for: shorter ones stand in replies by chance."""

_BACKSLASHES = rb"\\{1,4}"
"""Before a character that JSON escapes; several where JSON is quoted in JSON."""
_PERCENT = rb"%(?:25){0,2}"
_AMPERSAND = rb"(?:&|\\{1,4}u0026|%(?:25){0,2}26)(?:amp;){0,2}"
_PLAIN = re.compile("[a-z0-9]+").findall

_ESCAPES = (b"u%04x", b"%%%02x", b"%%25%02x", b"%%2525%02x", b"%d;", b"%x;")
"""Of one character, in lower case."""


def scrubber(*secrets: Secret) -> Callable[[bytes], bytes]:
    """Return what puts ``***`` in place of each of ``secrets`` in a reply; those that are too short are left there."""
    wanted = [(*_clues(secret), _pattern(secret)) for secret in secrets if len(secret.reveal()) >= _SHORTEST]

    def scrub(body: bytes) -> bytes:
        # Next to no reply quotes a key, and looking for all spellings takes long.
        lower = body.lower()
        has_escapes = b"\\" in lower or b"%" in lower or b"#" in lower
        for plain, escaped, pattern in wanted:
            if plain in lower or (has_escapes and any(one in lower for one in escaped)):
                body = pattern().sub(b"***", body)
        return body

    return scrub


def _clues(secret: Secret) -> tuple[bytes, Sequence[bytes]]:
    """Return of what something is in every body that quotes ``secret``: nobody escapes some letters and digits only."""
    plain = max(_PLAIN(secret.reveal().lower()), key=len, default="")
    first = {*plain[:1], *plain[:1].upper()}
    return plain.encode(), [form % ord(one) for one in sorted(first) for form in _ESCAPES]


def _pattern(secret: Secret) -> Callable[[], re.Pattern[bytes]]:
    return cache(lambda: re.compile(b"".join(map(_spelt, secret.reveal())), re.IGNORECASE))


def _spelt(character: str) -> bytes:
    """Return a pattern of all spellings of ``character``. No two of them may fit one text: that would take for ever."""
    found: dict[bytes, None] = {}
    for one in (character.lower(), character.upper()):
        utf8, utf16 = one.encode(), one.encode("utf-16-be").hex(" ", 2).encode().split()
        found[re.escape(utf8.lower())] = None
        found[b"".join(_BACKSLASHES + b"u" + unit for unit in utf16)] = None
        found[b"".join(_PERCENT + b"%02x" % byte for byte in utf8)] = None
        found[b"".join(_AMPERSAND + b"#(?:0{0,4}%d|x0{0,4}%x);" % (ord(part), ord(part)) for part in one)] = None
    if character in '/"\\':
        found[_BACKSLASHES + re.escape(character.encode())] = None
    if not character.isalnum():
        names = {name.lower() for name, meant in html5.items() if meant == character and name.endswith(";")}
        found.update(dict.fromkeys(_AMPERSAND + name.encode() for name in sorted(names)))
    if character == "+":  # as a form is read
        found |= {b" ": None, _PERCENT + b"20": None}
    if character == " ":  # as a form is written
        found[rb"\+"] = None
    return b"(?:%b)" % b"|".join(found)
