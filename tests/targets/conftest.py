from __future__ import annotations

from tests.runtime.conftest import cache, host

__all__ = ["cache", "host"]
