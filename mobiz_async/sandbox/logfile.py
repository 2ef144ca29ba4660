"""The sandbox's own log: one JSON line for each applied request, on the disk before the request is answered.

It holds the values of one field (the phone number by default), so that a test can tell exactly which records were
applied after the sender was killed. It is therefore created readable by its owner alone. Keys are never in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

__all__ = ["AppliedLog", "LogEntry", "read_log"]


@attrs.frozen
class LogEntry:
    """One applied request. ``identities`` has one text for each record, in the order of the body."""

    sequence: int
    time: float
    """Seconds since the epoch."""
    operation: str
    list_id: str | None
    digest: str
    records: int
    first: str | None = attrs.field(repr=False)
    last: str | None = attrs.field(repr=False)
    send_time: str | None
    identities: tuple[str, ...] = attrs.field(repr=False)


class AppliedLog:
    """Appends entries to a file. Each one is fsynced before ``write`` returns."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open or create ``path``; go on after what it holds, dropping a last line that was cut short."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        whole = 0
        self._sequence = 0
        with Path(path).open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    whole += len(line)
                    self._sequence += 1
        os.ftruncate(self._file, whole)

    def write(
        self,
        time: float,
        operation: str,
        list_id: str | None,
        digest: str,
        identities: Sequence[str],
        send_time: str | None = None,
    ) -> None:
        """Append one entry and wait for the disk. Raise OSError where it cannot be written."""
        self._sequence += 1
        entry: dict[str, Any] = {
            "sequence": self._sequence,
            "time": time,
            "operation": operation,
            "list_id": list_id,
            "digest": digest,
            "records": len(identities),
            "first": identities[0] if identities else None,
            "last": identities[-1] if identities else None,
            "send_time": send_time,
            "identities": list(identities),
        }
        rest = memoryview(json.dumps(entry).encode() + b"\n")
        while rest:
            rest = rest[os.write(self._file, rest) :]
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file. Twice is fine."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_log(path: str | os.PathLike[str]) -> list[LogEntry]:
    """Return the entries of a log, without a last line that was cut short; empty where there is no file yet."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return []
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    entries = (json.loads(line) for line in lines)
    return [LogEntry(**{**entry, "identities": tuple(entry["identities"])}) for entry in entries]
