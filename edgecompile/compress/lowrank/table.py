"""What became of each layer, in words and numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.compress.lowrank.choose import totals, why_left
from edgecompile.decision import OUTCOME_STEP, Decision

if TYPE_CHECKING:
    from edgecompile.compress.lowrank.factors import Factors
    from edgecompile.compress.lowrank.prepare import Prepared
    from edgecompile.compress.lowrank.solve import Chosen

STEP = "Factorise"
RESULTS_NAME = "lowrank.json"
TABLE_NAME = "lowrank.md"


def decisions_of(ready: Prepared, chosen: Chosen, factors: Mapping[str, Factors]) -> list[Decision]:
    """One for each convolution and matrix product."""
    decisions = []
    for found in ready.layers:
        name, why = found.layer.name, found.why_not
        choice = chosen.get(name)
        if not why and name not in ready.choices:
            why = "the recipe says nothing of its rank"
        elif not why and choice is None:
            why = why_left(ready, name)
        if why or choice is None:
            decisions.append(Decision(STEP, name, False, why))
            continue
        shape = found.layer.shape
        reason = (
            f"{choice.name}: {choice.macs / shape.macs:.2f} of the MACs, {choice.params / shape.params:.2f} of the "
            f"parameters, {factors[name].error:.2%} error {ready.notes[name]}"
        )
        decisions.append(Decision(STEP, name, True, reason))
    return decisions


def count_of(factors: Mapping[str, Factors]) -> str:
    """`3 layers factorised`."""
    return f"{len(factors)} layer{'' if len(factors) == 1 else 's'} factorised"


def sizes_of(ready: Prepared, chosen: Chosen) -> str:
    """What is left of the whole model."""
    left = totals(ready, chosen)
    return f"{left['params']:.3f} of the parameters, {left['macs']:.3f} of the MACs"


def figures_of(ready: Prepared, chosen: Chosen, factors: Mapping[str, Factors]) -> dict[str, dict[str, float]]:
    """Sizes and errors by layer."""
    shapes = {found.layer.name: found.layer.shape for found in ready.layers if found.layer.name in factors}
    return {
        name: {
            "parameters before": float(shapes[name].params),
            "parameters": float(choice.params),
            "MACs before": float(shapes[name].macs),
            "MACs": float(choice.macs),
            "error": factors[name].error,
        }
        for name, choice in chosen.items()
        if choice is not None
    }


def write_tables(folder: Path, decisions: Sequence[Decision], figures: Mapping[str, Mapping[str, float]]) -> None:
    """Write the decisions and figures as JSON and as tables in Markdown, one of each kind of decision.

    Raises:
        OutputError: a file cannot be written.
    """
    from edgecompile.artifact.write import write_file

    document = {"decisions": [vars(decision) for decision in decisions], "figures": figures}
    write_file(folder / RESULTS_NAME, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
    outcomes = [f"{decision.reason}." for decision in decisions if decision.step == OUTCOME_STEP]
    lines = [*outcomes, "", *_table("factorised", [each for each in decisions if each.step == STEP])]
    fits = [each for each in decisions if each.step not in (STEP, OUTCOME_STEP)]
    if fits:
        lines += _table("fitted", fits)
    write_file(folder / TABLE_NAME, "\n".join(lines).encode())


def _table(what: str, decisions: Sequence[Decision]) -> list[str]:
    rows = [f"| {each.subject} | {'yes' if each.kept else 'no'} | {each.reason} |" for each in decisions]
    return [f"| layer | {what} | why |", "| --- | --- | --- |", *rows, ""]
