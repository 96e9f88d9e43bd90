"""Staying on some cores while time is measured."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keep this thread, and those that it starts, on the last `threads` cores that it may use.

    The operating system's own work falls on the first ones more often. Nothing happens where there are fewer cores, or
    where the system cannot pin.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    if len(before) >= threads:
        os.sched_setaffinity(0, sorted(before)[-threads:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
