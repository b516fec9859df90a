"""``python -m gate`` is the same program as ``gate``."""

import sys

from gate.cli import main

if __name__ == "__main__":
    sys.exit(main())
