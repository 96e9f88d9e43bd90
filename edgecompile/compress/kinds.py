"""Every kind of compression step: what describes it, and what does it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from edgecompile.compress.depth.recipe import DepthStep
from edgecompile.compress.lowrank.recipe import LowRankStep
from edgecompile.compress.prune.recipe import PruneStep
from edgecompile.compress.quantize.recipe import QuantizeStep
from edgecompile.compress.sparsify.recipe import SparsifyStep
from edgecompile.compress.step import Step


@dataclass(frozen=True)
class Kind:
    """One kind of step.

    Attributes:
        model: its entry in a recipe.
        function: "module:name" of what does it; imported when a recipe has such a step. See `driver.StepFunction`.
        preview: "module:name" of a function (model, step) -> a named tuple for each layer: what it would become.
        analysis: "module:name" of what measures what each layer loses by it; see `analyze.AnalysisFunction`. "" where
            nothing does.
        stage: when it comes in a recipe, see `STAGES`.
    """

    model: type[Step]
    function: str
    preview: str
    analysis: str
    stage: Literal["shape", "zeros", "precision"]


STAGES = ("shape", "zeros", "precision")
"""In the order of steps: which weights there are, which of them are zero, and how many bits they have."""

KINDS = {
    "depth": Kind(
        DepthStep,
        function="edgecompile.compress.depth.step:remove_blocks",
        preview="edgecompile.compress.depth.describe:preview",
        analysis="",
        stage="shape",
    ),
    "prune": Kind(
        PruneStep,
        function="edgecompile.compress.prune.prune:prune",
        preview="edgecompile.compress.prune.describe:preview",
        analysis="edgecompile.compress.prune.sensitivity.analysis:analyze_pruning",
        stage="shape",
    ),
    "lowrank": Kind(
        LowRankStep,
        function="edgecompile.compress.lowrank.factorise:factorise",
        preview="edgecompile.compress.lowrank.describe:preview",
        analysis="edgecompile.compress.lowrank.sensitivity.analysis:analyze_factorisation",
        stage="shape",
    ),
    "sparsify": Kind(
        SparsifyStep,
        function="edgecompile.compress.sparsify:sparsify",
        preview="edgecompile.compress.sparsify.describe:preview",
        analysis="",
        stage="zeros",
    ),
    "quantize": Kind(
        QuantizeStep,
        function="edgecompile.compress.quantize:quantize",
        preview="edgecompile.compress.quantize.describe:preview",
        analysis="edgecompile.compress.quantize.mixed.analysis:analyze_quantization",
        stage="precision",
    ),
}


def imported(path: str) -> Callable[..., Any]:
    """The function that "module:name" names; imported here, so that a recipe costs only what it uses."""
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function
