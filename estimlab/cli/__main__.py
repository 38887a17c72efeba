"""``python -m estimlab.cli``."""

import sys

from estimlab.cli import app

if __name__ == "__main__":
    sys.exit(app())
