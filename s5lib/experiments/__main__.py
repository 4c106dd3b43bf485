"""``python -m s5lib.experiments``."""

import sys

from s5lib.experiments.command import main

sys.exit(main())
