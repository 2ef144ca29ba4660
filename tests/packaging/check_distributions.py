"""What was built is what is meant to be: ``python check_distributions.py DIST``, a folder with a wheel and an sdist."""

from __future__ import annotations

import email
import sys
import tarfile
import zipfile
from pathlib import Path

BESIDE = ("mobiz_async_command.py", "pytest_mobiz_async.py")
PACKAGED = ("mobiz_async/", *BESIDE)
WANTED = ("mobiz_async/__init__.py", "mobiz_async/py.typed", *BESIDE)
SOURCES = ("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "noxfile.py", "docs/conf.py", "tests/conftest.py")
RUBBISH = ("__pycache__", ".pyc", ".db", ".journal", "_build", ".hypothesis")


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def check_wheel(path: Path) -> None:
    """Nothing of tests or documentation is in it, and all that is needed."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        info = next(name for name in names if name.endswith(".dist-info/METADATA")).partition("/")[0]
        metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
        entry_points = wheel.read(f"{info}/entry_points.txt").decode()
    strangers = [name for name in names if not name.startswith((*PACKAGED, info))]
    assert strangers == [], strangers
    assert [name for name in WANTED if name not in names] == []
    assert [name for name in names if any(part in name for part in RUBBISH)] == []
    assert f"{info}/licenses/LICENSE" in names
    assert (metadata["Name"], metadata["Requires-Python"], metadata["License-Expression"]) == (
        "mobiz-async",
        ">=3.11",
        "MIT",
    )
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "asyncio client" in str(metadata.get_payload())
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(line.partition(">")[0] for line in required) == ["aiohttp", "attrs", "cattrs", "msgspec", "tenacity"]
    assert "mobiz = mobiz_async_command:main" in entry_points
    assert "mobiz = pytest_mobiz_async" in entry_points


def check_sdist(path: Path) -> None:
    """It is all that is needed to build and test."""
    with tarfile.open(path) as sdist:
        names = [name.partition("/")[2] for name in sdist.getnames()]
    assert [name for name in (*SOURCES, *WANTED) if name not in names] == []
    assert [name for name in names if any(part in name for part in RUBBISH)] == []


def main() -> None:
    folder = Path(sys.argv[1])
    check_wheel(only(folder, "*.whl"))
    check_sdist(only(folder, "*.tar.gz"))
    sys.stdout.write(f"{', '.join(sorted(path.name for path in folder.iterdir()))}: as they should be\n")


if __name__ == "__main__":
    main()
