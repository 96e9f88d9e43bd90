"""Every kind of compression step: what describes it, and what does it."""

from __future__ import annotations

from dataclasses import dataclass

from edgecompile.compress.quantize.recipe import QuantizeStep
from edgecompile.compress.step import Step


@dataclass(frozen=True)
class Kind:
    """One kind of step.

    Attributes:
        model: its entry in a recipe.
        function: "module:name" of what does it; imported when a recipe has such a step. See `compress.StepFunction`.
    """

    model: type[Step]
    function: str


KINDS = {
    "quantize": Kind(QuantizeStep, "edgecompile.compress.quantize:quantize"),
}
