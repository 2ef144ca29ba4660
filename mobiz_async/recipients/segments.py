"""How many SMS a text takes: 3GPP TS 23.038's alphabets and the room that concatenation leaves.

One message holds 160 septets of the GSM 7-bit alphabet or 70 UTF-16 units (UCS-2). A longer text is cut into parts of
153 or 67, as each begins with six octets that say where it belongs. A pair - the escape and a character of the
extension table, or the two surrogates of an emoji - never straddles two parts: the part before it stays a unit short.
The alphabet is the default one; operators that offer the national shift tables may need fewer parts.
"""

from __future__ import annotations

import re
from typing import Literal

import attrs

__all__ = ["Segments", "count"]

_GSM7_WHOLE = 160
_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = "\f^{}\\[~]|€"

_PLAIN = re.compile(f"[{re.escape(_BASIC)}]*+")
_FOREIGN = re.compile(f"[^{re.escape(_BASIC + _EXTENSION)}]")
_GSM7_PAIR = re.compile(f"[{re.escape(_EXTENSION)}]")
_UCS2_PAIR = re.compile("[\U00010000-\U0010ffff]")


@attrs.frozen
class Segments:
    """What a text takes on the air.

    ``units`` are septets (GSM-7; characters of the extension table count twice) or UTF-16 units (UCS-2; emoji count
    twice), without the units left unused before a pair. ``parts`` is what is billed. ``forced_by`` is the first
    character outside GSM-7, None when there is none.
    """

    encoding: Literal["GSM-7", "UCS-2"]
    parts: int
    units: int
    forced_by: str | None = None


def count(text: str) -> Segments:
    """Return how ``text`` is encoded and into how many parts it goes. An empty text takes one, of no units."""
    if len(text) <= _GSM7_WHOLE and _PLAIN.fullmatch(text):  # most of them; a repetition is read at C speed
        return Segments("GSM-7", 1, len(text))
    foreign = _FOREIGN.search(text)
    if foreign is None:
        return Segments("GSM-7", *_parts(text, _GSM7_PAIR, whole=_GSM7_WHOLE, part=153))
    return Segments("UCS-2", *_parts(text, _UCS2_PAIR, whole=70, part=67), foreign[0])


def _parts(text: str, pair: re.Pattern[str], *, whole: int, part: int) -> tuple[int, int]:
    pairs = [match.start() for match in pair.finditer(text)]
    units = len(text) + len(pairs)
    if units <= whole:
        return 1, units
    # A pair that would begin on a part's last unit moves on whole, which shifts all that follows by one.
    unused = 0
    for before, place in enumerate(pairs):
        unused += (place + before + unused) % part == part - 1
    return -(-(units + unused) // part), units
