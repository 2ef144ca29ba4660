"""Writes the demo's file with one of its numbers in it twice."""

import sys
from pathlib import Path

from mobiz_async.cli import spellings

path, count = Path(sys.argv[1]), int(sys.argv[2])
spellings.write(path, count - 1)
with path.open("a", encoding="utf-8") as file:
    file.writelines(spellings.rows(0, 1))
