"""``python -m s5lib``: the command line."""

import sys

from s5lib.cli import main

if __name__ == "__main__":
    sys.exit(main())
