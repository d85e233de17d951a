"""``python -m agents.cli`` is ``seqgan``."""

import sys

from agents.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
