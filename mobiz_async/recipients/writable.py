"""Records that look good and cannot be written, or not in one request: found before they use anything up.

Half a surrogate pair in a text, or a number of thousands of digits, shows to the encoder only, and a record that is too
large to its count of bytes. The shape stage does not look for them, which would cost all runs something. Where a stage
behind it remembers records, or tells what is wrong with them, they must be known all the same: what becomes of a record
must not depend on which others shared its slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from mobiz_async.encoding import ENCODING_ERRORS, encode, encode_into
from mobiz_async.errors import Reason
from mobiz_async.recipients.stages import Problem, Stage, Staged, only_good
from mobiz_async.recipients.values import refusal_of

__all__ = ["told_first", "writable_stage"]

_BRACKETS = len(b"[]")


def told_first(stage: Stage) -> Stage:
    """Return ``stage``, whose problems are told as not encodable where that is what the records are as well.

    So the shape stage would have told them, had it looked at them one by one.
    """

    def run(records: list[Any], rows: Sequence[int]) -> Staged:
        staged = stage(records, rows)
        if staged.problems:
            try:
                encode([problem.record for problem in staged.problems])
            except ENCODING_ERRORS:
                return staged._replace(problems=list(map(_retold, staged.problems)))
        return staged

    return run


def _retold(problem: Problem) -> Problem:
    fault = _encoding_fault(problem.record)
    return problem if fault is None else attrs.evolve(problem, field=fault[0], reason=fault[1])


def _encoding_fault(record: dict[str, Any]) -> tuple[str | None, Reason] | None:
    try:
        encode(record)
    except ENCODING_ERRORS:
        return refusal_of(record)
    return None


def writable_stage(max_bytes: int | None = None) -> Stage:
    """Return the stage that holds back dicts which cannot be encoded, or fill more than a body of ``max_bytes``.

    It writes each slice, which takes some 0.06 µs a record: for those runs alone in which a stage behind it remembers.
    """
    encoded = bytearray()

    def diagnose(record: dict[str, Any]) -> tuple[str | None, Reason] | None:
        fault = _encoding_fault(record)
        if fault is None and max_bytes is not None and len(encode(record)) + _BRACKETS > max_bytes:
            return None, Reason.TOO_LARGE
        return fault

    def run(records: list[Any], rows: Sequence[int]) -> Staged:
        try:
            encode_into(records, encoded)
        except ENCODING_ERRORS:
            return only_good(records, rows, diagnose)
        if max_bytes is not None and len(encoded) > max_bytes:
            encoded.clear()  # a slice of large records leaves no large buffer behind
            if max(map(len, map(encode, records))) + _BRACKETS > max_bytes:
                return only_good(records, rows, diagnose)
        return Staged(records, rows, [])

    return run
