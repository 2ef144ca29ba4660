"""A copy of the package and the benchmarks: what is edited while they run does not change what is measured."""

import compileall
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
_PATIENCE = 60


@contextlib.contextmanager
def snapshot(revision: str | None = None) -> Iterator[Path]:
    """Give a folder with the package as it is, or at a git revision, and the benchmarks as they are; all compiled."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        sources = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "benchmarks", tree / "benchmarks", ignore=sources)
        if revision is None:
            shutil.copytree(ROOT / "mobiz_async", tree / "mobiz_async", ignore=sources)
        else:
            archive = subprocess.run(
                ["git", "archive", revision, "mobiz_async"],
                cwd=ROOT,
                capture_output=True,
                check=True,
                timeout=_PATIENCE,
            )
            subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True, timeout=_PATIENCE)
        compileall.compile_dir(folder, quiet=1)
        yield tree


def environment(tree: Path) -> dict[str, str]:
    """Return an environment that imports from ``tree``, in which nothing else watches and sets have one order."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTHON"))}
    return {**kept, "PYTHONHASHSEED": "0", "PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}


def revision() -> str:
    """Return the git revision of the work tree, and whether it has been changed since; empty outside a repository."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
