"""What a low-rank step would make of each layer, without data."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgecompile.compress.lowrank.choose import choose, why_left
from edgecompile.compress.lowrank.prepare import prepare
from edgecompile.compress.lowrank.recipe import LowRankStep
from edgecompile.target import find_target

if TYPE_CHECKING:
    from edgecompile.frontend.model import Model

_FLOAT_BYTES = 4


class LowRankRow(NamedTuple):
    """What one layer becomes.

    Attributes:
        layer, operator: which one it is.
        becomes: "tucker 32x48"; "-" where it stays.
        params: "36,864 to 12,288"; of the layer as it is where it stays.
        macs: likewise.
        error: of the weight, in squares; with data it is the results' that counts, and ranks may differ.
        why: the rule that won after those that it changed, or why the layer stays.
    """

    layer: str
    operator: str
    becomes: str
    params: str
    macs: str
    error: str
    why: str


def preview(model: Model, step: LowRankStep) -> list[LowRankRow]:
    """What the step would make of each layer on this machine, by weights alone.

    Raises:
        InvalidRecipeError: the step does not fit the model, or its budget cannot be met.
    """
    lanes = find_target("host").cpu.vector_bytes // _FLOAT_BYTES
    with tempfile.TemporaryDirectory(prefix="edgecompile-") as folder:
        ready = prepare(model, step, samples=None, lanes=lanes, folder=Path(folder), progress=lambda phase: None)
        budget = step.budget
        # A time is measured; the share of the work is the nearest to it that is known without.
        costs = ready.costs("params" if budget is None or budget.params is not None else "macs")
        chosen = choose(ready, costs, None if budget is None else budget.share)
        rows = []
        for found in ready.layers:
            layer, choice = found.layer, chosen.get(found.layer.name)
            why = found.why_not or (
                "no rule says how far" if layer.name not in chosen else "" if choice else why_left(ready, layer.name)
            )
            shape = layer.shape if layer.product is not None else None
            rows.append(
                LowRankRow(
                    layer.name,
                    layer.operator,
                    choice.name if choice else "-",
                    _change(shape.params if shape else None, choice.params if choice else None),
                    _change(shape.macs if shape else None, choice.macs if choice else None),
                    f"{choice.error:.2%}" if choice else "-",
                    why or " < ".join(found.rules),
                )
            )
        return rows


def _change(before: int | None, after: int | None) -> str:
    if before is None:
        return "-"
    return f"{before:,}" if after is None else f"{before:,} to {after:,}"
