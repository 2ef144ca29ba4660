import sys
from pathlib import Path

# What builds the documentation is tested with it.
DOCS = Path(__file__).parents[2] / "docs"
sys.path[:0] = [str(DOCS), str(DOCS / "_ext")]
