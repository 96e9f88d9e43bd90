"""Counted progress in words, for those who only show the name of a phase."""

from __future__ import annotations

import time
from collections.abc import Callable


def counted(progress: Callable[[str], None]) -> Callable[[str, int, int | None], None]:
    """A callback that takes a title, how much is done and of how much, and tells both and the time that is left."""
    started = time.monotonic()

    def tell(title: str, done: int, total: int | None) -> None:
        if total is None:
            progress(title)
            return
        spent = time.monotonic() - started
        left = f", about {spent / done * (total - done):.0f} s left" if done else ""
        progress(f"{title}: {done} of {total}{left}")

    return tell
