import sys
from pathlib import Path

import pytest


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``mobiz`` and ``python`` of this environment, whatever is on the path."""
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):  # what the pages run is measured elsewhere
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "bin"
    folder.mkdir()
    program = "import sys; from mobiz_async.cli import main; sys.argv[0] = 'mobiz'; sys.exit(main())"
    for name, call in (("mobiz", f'{sys.executable} -c "{program}"'), ("python", sys.executable)):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {call} "$@"\n', "utf-8")
        script.chmod(0o755)
    return folder
