"""Printing results: a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

_TEXT_WIDTH = 12  # below it words of kernels and layers fall apart
_GAP = 3  # between the columns of a table

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


class Percent(float):
    """A part of a whole, 1 being all of it, that is shown as a percentage."""


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """A table on stdout; numbers are right-aligned and grouped, None is a dash.

    On a terminal too narrow for it each row becomes lines of its own, one for each column: a number is never broken.

    Raises:
        BrokenPipeError: nobody reads stdout any more.
    """
    from rich.console import Console

    # Without a terminal there is no width to fit: a reader such as grep wants each row in one line.
    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False)
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [all(isinstance(row[index], (int, float, type(None))) for row in rows) for index in range(len(columns))]
    as_records = _least_width(columns, cells, numeric) > console.width
    with console.capture() as capture:
        for table in _records(columns, cells) if as_records else [_table(columns, cells, numeric)]:
            console.print(table)
    if title:
        click.secho(title, bold=True)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _table(columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool]) -> Table:
    """One table of all rows."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.show_header = any(columns)
    for column, is_numeric in zip(columns, numeric, strict=True):
        table.add_column(column, justify="right" if is_numeric else "left", overflow="fold", no_wrap=is_numeric)
    for row in cells:
        table.add_row(*map(Text, row))
    return table


def _records(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[Table]:
    """For each row a table of its columns and their cells."""
    from rich.table import Table
    from rich.text import Text

    records = []
    for row in cells:
        record = Table.grid(padding=(0, 2))
        for _ in range(2):
            record.add_column(overflow="fold")
        for column, cell in zip(columns, row, strict=True):
            record.add_row(Text(column), Text(cell))
        record.add_row("", "")
        records.append(record)
    return records


def _least_width(columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool]) -> int:
    """Characters that a table needs to be readable: numbers whole, texts in lines of `_TEXT_WIDTH`."""
    widths = []
    for index, column in enumerate(columns):
        widest = max(len(text) for text in (column, *(row[index] for row in cells)))
        widths.append(widest if numeric[index] else min(widest, _TEXT_WIDTH))
    return sum(widths) + _GAP * (len(widths) - 1)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Percent):
        return f"{100 * value:.1f} %"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1 else f"{value:,.3f}"
    return str(value)
