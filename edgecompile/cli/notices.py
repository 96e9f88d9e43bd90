"""Warnings on the command line: ours in one line, those of the libraries beneath only when debugging."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TextIO

import click

from edgecompile.settings import debug_level

_PACKAGE = Path(__file__).resolve().parent.parent


def show_notices() -> None:
    """From now on, print warnings as `warning: ...`."""
    warnings.showwarning = _show


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if debug_level() >= 1:
        click.echo(warnings.formatwarning(message, category, filename, lineno, line), err=True, nl=False)
    elif Path(filename).is_relative_to(_PACKAGE):
        click.echo(f"warning: {' '.join(str(message).split())}", err=True)
