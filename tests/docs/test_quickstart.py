"""Who follows the quickstart, and nothing else, in an empty folder, reaches a send, a crash and a resume."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs_pages import ROOT
from follow_quickstart import follow


def test_the_quickstart_leads_to_a_send_a_crash_and_a_resume(
    commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = tmp_path / "empty"
    folder.mkdir()

    arrived = follow(commands, folder)

    assert {name: arrived[name] for name in ("records", "distinct", "repeated")} == {
        "records": 50_003,
        "distinct": 50_003,
        "repeated": 0,
    }
