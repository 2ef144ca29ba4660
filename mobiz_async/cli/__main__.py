"""``python -m mobiz_async.cli``: the same as ``mobiz``."""

import sys

from mobiz_async.cli import main

sys.exit(main())
