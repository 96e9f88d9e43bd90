"""The table of what a compression step did to each layer, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from edgecompile.cli.tables import print_table
from edgecompile.decision import OUTCOME_STEP, Decision


def show_compression(title: str, decisions: Sequence[Decision], figures: Mapping[str, Mapping[str, float]]) -> None:
    """One row for each decision, with what was measured for it, and one line for what became of the whole step."""
    columns = sorted({name for numbers in figures.values() for name in numbers})
    rows = []
    left = dict(figures)  # a subject's stand beside the first decision about it
    for choice in decisions:
        if choice.step != OUTCOME_STEP:
            found = left.pop(choice.subject, {})
            numbers = (_number(found.get(name)) for name in columns)
            rows.append((choice.subject, choice.step, choice.kept, *numbers, choice.reason))
    if rows:
        print_table(("layer", "decided by", "changed", *columns, "why"), rows, title)
    for choice in decisions:
        if choice.step == OUTCOME_STEP:
            click.echo(choice.reason)


def _number(value: float | None) -> float | int | None:
    """A whole number as one: bytes and cycles."""
    return int(value) if value is not None and value.is_integer() and abs(value) >= 1 else value
