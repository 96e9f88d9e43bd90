"""`remove_blocks`: one step of a recipe, from a model to one with fewer residual blocks."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from edgecompile.compress.activations.runs import Runs
from edgecompile.compress.depth.blocks import Block, find_blocks, without_blocks
from edgecompile.compress.depth.recipe import DepthStep
from edgecompile.compress.reconstruct import reconstruct
from edgecompile.compress.samples.replay import Replay
from edgecompile.decision import Decision
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from edgecompile.frontend.model import Model

if TYPE_CHECKING:
    from edgecompile.compress.driver import Data, Evaluate, StepResult

STEP = "RemoveBlocks"


def remove_blocks(
    model: Model,
    step: DepthStep,
    *,
    data: Data | None,
    samples: int | None,
    table: str | os.PathLike[str] | None,
    evaluate: Evaluate | None,
    max_drop: float | None,
    target: str,
    report: str | os.PathLike[str] | None,
    progress: Callable[[str], None],
) -> StepResult:
    """The model without the blocks that change least what passes through them; arguments as of `compress`.

    Raises:
        InvalidRecipeError: the model has no residual block, a pattern matches none, or the budget cannot be met.
        InvalidInputError: there are no data to see by how much each block changes what it reads.
    """
    from edgecompile.compress.driver import StepResult

    del table, evaluate, max_drop, target, report  # the caller judges the whole step
    blocks = free_blocks(model, step)
    if data is None:
        raise InvalidInputError("depth needs calibration data, to see what each block changes, found none: give data=")
    replay = Replay(data, model.inputs, samples)
    influences = _influences(model, blocks, replay, progress)
    order = sorted(blocks, key=lambda block: influences[block.name])
    chosen = _chosen(model, order, step)
    smaller = dataclasses.replace(model, module=without_blocks(model.module, chosen))
    decisions = [
        Decision(STEP, block.name, block in chosen, f"changes what it reads by {influences[block.name]:.4f}")
        for block in blocks
    ]
    if step.reconstruct != "none":
        smaller = reconstruct(model, smaller, {}, replay, step.reconstruct, decisions, progress)
    figures = {
        name: {"MACs": float(found.macs), "parameters": float(found.params)}
        for name, found in (("before", model), ("after", smaller))
    }
    return StepResult(smaller, decisions, figures, sample=replay.first)


def free_blocks(model: Model, step: DepthStep) -> list[Block]:
    """The blocks that may go.

    Raises:
        InvalidRecipeError: there are none, or a pattern matches none.
    """
    found = find_blocks(model.module)
    if not found:
        raise InvalidRecipeError("depth needs residual blocks, y = x + f(x), and the model has none")
    for pattern in step.keep:
        if not any(fnmatchcase(block.name, pattern) for block in found):
            names = ", ".join(block.name for block in found[:3])
            raise InvalidRecipeError(f"the pattern {pattern!r} matches no residual block; the first are {names}")
    free = [block for block in found if not any(fnmatchcase(block.name, pattern) for pattern in step.keep)]
    if not free:
        raise InvalidRecipeError(f"the recipe keeps all {len(found)} residual blocks, nothing is left to remove")
    return free


def _influences(
    model: Model, blocks: Sequence[Block], samples: Replay, progress: Callable[[str], None]
) -> dict[str, float]:
    """By block, 1 - cos(x, y), the mean over the samples.

    Source: X. Men et al., "ShortGPT: Layers in Large Language Models are More Redundant Than You Expect", 2024.
    """
    progress("what each block changes")
    angles: dict[str, list[float]] = {block.name: [] for block in blocks}
    names = {name for block in blocks for name in (block.name, block.source)}
    with Runs(model, samples, progress, only=names) as runs:
        for tensors in runs.one_pass():
            for block in blocks:
                angles[block.name].append(_angle(tensors, block))
    return {name: float(np.mean(found)) for name, found in angles.items()}


def _angle(tensors: Mapping[str, np.ndarray], block: Block) -> float:
    x, y = (tensors[name].astype(np.float64).ravel() for name in (block.source, block.name))
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return 1 - float(x @ y) / length if length > 0 else 1.0


def _chosen(model: Model, order: Sequence[Block], step: DepthStep) -> list[Block]:
    """The first of the blocks that do.

    Raises:
        InvalidRecipeError: all of them are not enough.
    """
    if step.blocks is not None:
        if step.blocks > len(order):
            raise InvalidRecipeError(f"the recipe removes {step.blocks} residual blocks, the model has {len(order)}")
        return list(order[: step.blocks])
    name, share = ("macs", step.macs) if step.macs is not None else ("params", step.params)
    assert share is not None
    reached = 1.0
    for count in range(1, len(order) + 1):
        smaller = dataclasses.replace(model, module=without_blocks(model.module, order[:count]))
        reached = getattr(smaller, name) / getattr(model, name)
        if reached <= share:
            return list(order[:count])
    raise InvalidRecipeError(
        f"{name}={share:g} cannot be reached by removing blocks: without all {len(order)} of them {reached:.3f} stay"
    )
