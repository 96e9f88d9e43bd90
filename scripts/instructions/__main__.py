"""`python -m scripts.instructions`, in the root of the checkout."""

from __future__ import annotations

import sys

from scripts.instructions.command import main

if __name__ == "__main__":
    sys.exit(main())
