"""``python -m mobiz_async.sandbox``."""

import sys

from mobiz_async.sandbox.serving import main

if __name__ == "__main__":
    sys.exit(main())
