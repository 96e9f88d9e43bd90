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


@contextmanager
def counts() -> Iterator[Callable[[str, int, int | None], None] | None]:
    """A callback that takes a title, how much is done and of how much, and shows a bar with the time that is left.

    A new title replaces the bar; without a total (None) it is a spinner. There is none without a terminal on stderr.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        shown, task = "", None

        def show(title: str, done: int, total: int | None) -> None:
            nonlocal shown, task
            if task is None or title != shown:
                if task is not None:
                    progress.remove_task(task)
                shown, task = title, progress.add_task(title, total=None)
            progress.update(task, completed=done, total=total)

        yield show
