"""By what a journal knows a chunk again, and finds the first record in which it differs, without keeping the records.

A seal is a digest of the chunk's bytes, on which everything rests, and a print of four bytes for each fragment: what
ends with a "}". That is a record, or several fragments to a record where it holds objects or such a character, which is
all the same to a comparison; to cut a body so takes half the time of reading it as JSON.
"""

from __future__ import annotations

import hashlib
import operator
import zlib
from array import array
from collections.abc import Iterator
from itertools import accumulate, takewhile

import attrs

from mobiz_async.chunking import split

__all__ = ["Seal", "first_difference", "seal"]

_AT_ONCE = 5 << 17
"""Bytes whose prints are made at a stretch; that takes about a millisecond."""
_END = b"}"


@attrs.frozen
class Seal:
    """What is kept of a chunk: 32 bytes, and four for each fragment."""

    digest: bytes
    prints: bytes = attrs.field(repr=False)


def seal(body: bytes | bytearray) -> Seal:
    """Return the seal of an encoded array of records."""
    digest = hashlib.sha256()
    prints = array("I")
    for piece in _pieces(body):
        # A thread that makes prints keeps the interpreter lock all the while; one that makes a digest lets go of it. So
        # they take turns, and an event loop has its own in between.
        digest.update(piece)
        prints.extend(map(zlib.adler32, _fragments(piece)))
    return Seal(digest.digest(), prints.tobytes())


def first_difference(known: Seal, body: bytes | bytearray) -> int | None:
    """Return the first record, from 0, in which ``body`` differs from what was sealed; None when it is the same."""
    if hashlib.sha256(body).digest() == known.digest:
        return None
    fragments = [fragment for piece in _pieces(body) for fragment in _fragments(piece)]
    same = takewhile(bool, map(operator.eq, array("I", known.prints), map(zlib.adler32, fragments)))
    at = sum(len(fragment) + len(_END) for fragment, _ in zip(fragments, same, strict=False))
    ends = accumulate(len(record) + len(b",") for record in split(body))
    return sum(end <= at for end in ends)


def _pieces(body: bytes | bytearray) -> Iterator[bytes]:
    """Yield the body cut behind the ends of fragments."""
    start = 0
    while start < len(body):
        end = body.find(_END, start + _AT_ONCE) + 1 or len(body)
        yield bytes(body[start:end])
        start = end


def _fragments(piece: bytes) -> list[bytes]:
    return piece.removesuffix(_END).split(_END)
