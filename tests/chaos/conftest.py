"""``MOBIZ_CHAOS=full`` runs the long version of every experiment here, ended after ten minutes at the latest."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator

import pytest

LONGEST = 600.0


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
