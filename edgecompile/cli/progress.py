"""Showing what a long command is doing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def phases() -> Iterator[Callable[[str], None] | None]:
    """A callback that takes the name of each phase as it starts, and shows it with a clock.

    Without a terminal on stderr there is none, so that logs stay free of control characters.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        started = time.monotonic()
        task = None

        def enter(phase: str) -> None:
            nonlocal task, started
            if task is not None:
                progress.remove_task(task)
            task = progress.add_task(phase, total=None)

        yield enter
    if time.monotonic() - started > 2:
        console.print(f"done in {time.monotonic() - started:.1f} s", highlight=False)
