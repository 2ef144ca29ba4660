"""By what a journal knows a chunk again, and finds the first record in which it differs, without keeping the records.

A seal is a digest of the chunk's bytes, on which everything rests, and a print of four bytes for each record.

A print is an Adler-32, the quickest there is. One change in some two thousand leaves it as it was; then the record that
is named lies behind the first that differs.
"""

from __future__ import annotations

import hashlib
import operator
import zlib
from array import array
from collections.abc import Sequence
from itertools import takewhile

import attrs
import msgspec

from mobiz_async.chunking import split

__all__ = ["Seal", "first_difference", "seal"]


@attrs.frozen
class Seal:
    """What is kept of a chunk: 32 bytes, and four for each record."""

    digest: bytes
    prints: bytes = attrs.field(repr=False)


def seal(body: bytes | bytearray) -> Seal:
    """Return the seal of an encoded array of records."""
    # To cut a body and to make prints takes a millisecond each, for 10,000 short records, during which a thread keeps
    # the interpreter lock. The digest lets go of it: in between, so that an event loop has its turn there.
    records = split(body)
    digest = hashlib.sha256(body).digest()
    return Seal(digest, _prints(records).tobytes())


def first_difference(known: Seal, body: bytes | bytearray) -> int | None:
    """Return the first record, from 0, in which ``body`` differs from what was sealed; None when it is the same."""
    if hashlib.sha256(body).digest() == known.digest:
        return None
    same = map(operator.eq, array("I", known.prints), _prints(split(body)))  # as far as both go
    return len(list(takewhile(bool, same)))


def _prints(records: Sequence[msgspec.Raw]) -> array[int]:
    return array("I", map(zlib.adler32, records))
