"""``MOBIZ_CHAOS=full`` runs the long version of every experiment here, ended after ten minutes at the latest.

Journals and logs lie in memory where the system has a place for that: what is lost here is lost by killing, copying and
failing on purpose, and thousands of runs need not wait for a disk.
"""

from __future__ import annotations

import faulthandler
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

LONGEST = 600.0
IN_MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def quick_folder() -> Iterator[Path]:
    """A folder for the session that is fast to write to."""
    place = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="mobiz-chaos-", dir=place) as folder:
        yield Path(folder)


@pytest.fixture
def tmp_path(quick_folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=quick_folder))


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether the long version is asked for."""
    return os.environ.get("MOBIZ_CHAOS") == "full"


@pytest.fixture(scope="session", autouse=True)
def _bounded(full: bool) -> Iterator[None]:
    if full:
        faulthandler.dump_traceback_later(LONGEST, exit=True)
    yield
    if full:
        faulthandler.cancel_dump_traceback_later()
