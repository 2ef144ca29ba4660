"""Both journals, made anew or found again, for suites that hold for every one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from mobiz_async.journal import Journal, MemoryJournal, SQLiteJournal

IDENTITY = {"list id": "1", "chunk size": "4", "checks": "none"}


@attrs.define
class Shelf:
    """Where a journal is kept between two uses."""

    kind: str
    path: Path
    _memory: MemoryJournal = attrs.field(factory=MemoryJournal)

    def journal(self) -> Journal:
        """The journal, as a later run would name it."""
        return self._memory if self.kind == "memory" else SQLiteJournal(self.path)


@pytest.fixture(params=["memory", "sqlite"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return Shelf(request.param, tmp_path / "run.journal")


@pytest.fixture
async def opened(shelf: Shelf) -> AsyncIterator[Any]:
    journal = shelf.journal()
    await journal.open(IDENTITY)
    yield journal
    await journal.close()


@pytest.fixture
def identity() -> Callable[..., dict[str, str]]:
    """The run's identity, with changes; spaces in the names stand as underscores."""
    return lambda **changes: {**IDENTITY, **{name.replace("_", " "): value for name, value in changes.items()}}
