"""`sparsify`: one step of a recipe, from a model to one whose least important weights are zero, and are not stored."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgecompile.compress.quantize.quantizable import quantizable_layers
from edgecompile.compress.samples.replay import Replay
from edgecompile.compress.sparsify.importance import magnitudes, weighed_magnitudes
from edgecompile.compress.sparsify.layer import SparseLayer, read_layer
from edgecompile.compress.sparsify.masks import keep_globally, keep_pattern, keep_share
from edgecompile.compress.sparsify.recipe import SparsifyStep
from edgecompile.compress.sparsify.resolve import ResolvedLayer, resolve
from edgecompile.decision import Decision
from edgecompile.errors import InvalidInputError, InvalidRecipeError
from edgecompile.frontend.model import Model
from edgecompile.passes.simplify_model import simplify_model
from edgecompile.storage.insert_weights import insert_weights, with_dense_weights
from edgecompile.storage.stored_weight import SparseWeight

if TYPE_CHECKING:
    from edgecompile.compress.driver import Data, Evaluate, StepResult

STEP = "Sparsify"

NO_SPEED = (
    "fewer bytes to store, not fewer milliseconds: kernels multiply by zeros too; whole channels (prune) make it faster"
)


def sparsify(
    model: Model,
    step: SparsifyStep,
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
    """The model with zeros for the weights that count least, batch norms folded; arguments as of `compress`.

    Raises:
        InvalidRecipeError: the step does not fit the model, which may be quantized, or a weight is not finite.
        InvalidInputError: the recipe needs data, and there are none, or they make a layer read what is not finite.
    """
    from edgecompile.compress.driver import StepResult

    del table, evaluate, max_drop, target, report  # the caller judges the whole step
    if step.importance == "wanda" and data is None:
        raise InvalidInputError("importance=wanda needs calibration data, found none: give data=, or leave it out")
    _refuse_integers(model)
    simplified = simplify_model(dataclasses.replace(model, module=with_dense_weights(model.module)))
    resolved = {found.layer.name: found for found in resolve(step, quantizable_layers(simplified))}
    decisions: list[Decision] = []
    layers = _layers(simplified, resolved, decisions)
    if step.importance == "wanda" and layers:
        assert data is not None, "checked above"
        replay = Replay(data, model.inputs, samples, once=True)
        scores = weighed_magnitudes(layers, simplified, replay, progress)
    else:
        scores = magnitudes(layers)
    masks = _masks(step, layers, resolved, scores)
    weights: dict[str, SparseWeight] = {}
    figures: dict[str, dict[str, float]] = {}
    for layer in layers:
        sparse = SparseWeight.of(np.where(layer.from_sums(masks[layer.name]), layer.weight, np.float32(0)))
        share = 1 - np.count_nonzero(sparse.values) / layer.weight.size
        sizes = f"{layer.weight.nbytes:,} to {sparse.nbytes:,} bytes"
        if sparse.nbytes >= layer.weight.nbytes:
            reason = f"stays as it is: with {share:.1%} zeros, {sizes} would save nothing"
            decisions.append(Decision(STEP, layer.name, False, reason))
            continue
        weights[layer.name] = sparse
        figures[layer.name] = {
            "zeros": share,
            "bytes before": float(layer.weight.nbytes),
            "bytes": float(sparse.nbytes),
        }
        reason = f"{share:.1%} zeros by {step.importance}: {sizes}, computed as before"
        decisions.append(Decision(STEP, layer.name, True, reason))
    if not weights:
        return StepResult(model, decisions)
    decisions.append(Decision(STEP, model.name, False, NO_SPEED))
    sparser = dataclasses.replace(simplified, module=insert_weights(simplified.module, weights))
    return StepResult(sparser, decisions, figures)


def _refuse_integers(model: Model) -> None:
    """
    Raises:
        InvalidRecipeError: the model is quantized; simplifying would make floats of its integers.
    """
    found = next((layer for layer in model.layers if layer.operator in ("quantize", "dequantize")), None)
    if found is not None:
        raise InvalidRecipeError(
            f"sparsify needs a float model, found {found.operator} {found.name!r}; let it come first"
        )


def _layers(model: Model, resolved: Mapping[str, ResolvedLayer], decisions: list[Decision]) -> list[SparseLayer]:
    """Those that the recipe makes sparser; the decisions say why others stay.

    Raises:
        InvalidRecipeError: a weight is not finite.
    """
    layers = []
    for binding in (binding for block in model.module["main"].body.blocks for binding in block.bindings):
        found = resolved.get(binding.var.name)
        if found is None:
            continue
        rule = found.rule
        layer = read_layer(binding.var.name, binding.value)
        if rule.skip or (rule.sparsity is None and rule.pattern is None):
            layer = "the recipe leaves it as it is"
        if isinstance(layer, str):
            decisions.append(Decision(STEP, binding.var.name, False, layer))
            continue
        if not np.isfinite(layer.weight).all():
            raise InvalidRecipeError(f"layer {layer.name!r} has weights that are NaN or infinite: skip it")
        layers.append(layer)
    return layers


def _masks(
    step: SparsifyStep,
    layers: Sequence[SparseLayer],
    resolved: Mapping[str, ResolvedLayer],
    scores: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """By layer, `[outputs, taps, inputs]`; wanda compares the weights of one output, as its source does."""
    masks = {}
    for layer in layers:
        found = resolved[layer.name]
        if found.rule.n_of_m is not None:
            masks[layer.name] = keep_pattern(scores[layer.name], *found.rule.n_of_m)
        elif not found.is_global:
            assert found.rule.sparsity is not None, "other layers stay"
            per_output = step.importance == "wanda"
            masks[layer.name] = keep_share(scores[layer.name], found.rule.sparsity, per_output=per_output)
    together = {layer.name: scores[layer.name] for layer in layers if layer.name not in masks}
    if together:
        assert step.base.sparsity is not None, "the recipe was checked"
        masks |= keep_globally(together, step.base.sparsity)
    return masks
