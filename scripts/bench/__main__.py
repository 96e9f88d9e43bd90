"""`python -m scripts.bench`, in the root of the checkout."""

from __future__ import annotations

import sys

from scripts.bench.command import main

if __name__ == "__main__":  # every worker imports this file too
    sys.exit(main())
