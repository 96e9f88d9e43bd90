"""`resolve`: a step and a model's layers to a rule for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgecompile.compress.quantize.quantizable import WEIGHTED_OPERATORS, QuantizableLayer
from edgecompile.compress.rules import refuse_unmatched, rules_for
from edgecompile.compress.sparsify.recipe import LayerRule, SparsifyStep
from edgecompile.errors import InvalidRecipeError


class ResolvedLayer(NamedTuple):
    """What a recipe says about one layer.

    Attributes:
        layer: the layer; it has a constant weight.
        rule: all rules together.
        rules: the names of those that changed it, in order; "default" is always the first.
        is_global: True where all such layers share one threshold.
    """

    layer: QuantizableLayer
    rule: LayerRule
    rules: tuple[str, ...]
    is_global: bool


def resolve(step: SparsifyStep, layers: Sequence[QuantizableLayer]) -> list[ResolvedLayer]:
    """Apply default < operators < layers to each layer with weights, where of two rules the later one wins.

    Raises:
        InvalidRecipeError: there is no such layer, a pattern matches none, or every layer is skipped.
    """
    weighted = [layer for layer in layers if layer.operator in WEIGHTED_OPERATORS and layer.weight_shape is not None]
    if not weighted:
        raise InvalidRecipeError("sparsify needs convolutions or products with constant weights, the model has none")
    refuse_unmatched(step.layers, [layer.name for layer in weighted], "layer with weights")
    resolved = [_resolve(step, layer) for layer in weighted]
    if all(found.rule.skip for found in resolved):
        raise InvalidRecipeError(f"the recipe skips all {len(resolved)} layers with weights; skip fewer")
    return resolved


def _resolve(step: SparsifyStep, layer: QuantizableLayer) -> ResolvedLayer:
    rule, names = step.base, ["default"]
    is_global = step.scope == "global" and step.base.sparsity is not None
    for name, found in rules_for([layer.name], [layer.operator], step.operators, step.layers):
        rule = rule.changed_by(found)
        names.append(name)
        is_global = is_global and found.sparsity is None and found.pattern is None
    return ResolvedLayer(layer, rule, tuple(names), is_global and not rule.skip)
