"""`python -m edgecompile.cli`."""

from __future__ import annotations

from edgecompile.cli.program import main

if __name__ == "__main__":
    main()
