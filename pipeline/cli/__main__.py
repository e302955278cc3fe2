"""`python -m pipeline.cli` is `onshi`."""

import sys

from pipeline.cli import main

sys.exit(main())
