"""`resolve`: a low-rank step and a model's layers to a rule for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgecompile.compress.lowrank.layers import WeightedLayer
from edgecompile.compress.lowrank.methods import methods_for
from edgecompile.compress.lowrank.recipe import LayerRule, LowRankStep
from edgecompile.compress.rules import refuse_unmatched, rules_for
from edgecompile.errors import InvalidRecipeError

_SHOWN = 3


@dataclass(frozen=True)
class ResolvedLayer:
    """What a recipe says about one layer.

    Attributes:
        layer: the layer.
        rule: all rules together.
        rules: that changed it, in order; the last one wins. "default" is always the first.
    """

    layer: WeightedLayer
    rule: LayerRule
    rules: tuple[str, ...]

    @property
    def why_not(self) -> str:
        """Why it stays as it is; "" where it is to be factorised."""
        return "skipped by the recipe" if self.rule.skip else self.layer.reason


def resolve(step: LowRankStep, layers: Sequence[WeightedLayer]) -> list[ResolvedLayer]:
    """Apply default < operators < layers, where of two rules the later one wins.

    Raises:
        InvalidRecipeError: no layer can be factorised, a pattern matches none, every layer is skipped, or a layer
            cannot have the rank that the rules give it.
    """
    if not any(not layer.reason for layer in layers):
        reasons = "; ".join(dict.fromkeys(f"{layer.name}: {layer.reason}" for layer in layers[:_SHOWN]))
        found = f"the model's {len(layers)} cannot be ({reasons})" if layers else "the model has neither"
        raise InvalidRecipeError(f"lowrank needs convolutions or matrix products to factorise, {found}: leave it out")
    refuse_unmatched(step.layers, [layer.name for layer in layers], "convolution or matrix product")
    resolved = [_resolve(step, layer) for layer in layers]
    if all(found.why_not for found in resolved):
        raise InvalidRecipeError("the recipe skips all layers that can be factorised; skip fewer")
    return resolved


def _resolve(step: LowRankStep, layer: WeightedLayer) -> ResolvedLayer:
    rule, rules = step.default, ["default"]
    for name, found in rules_for([layer.name], [layer.operator], step.operators, step.layers):
        rule = rule.changed_by(found)
        rules.append(name)
    resolved = ResolvedLayer(layer, rule, tuple(rules))
    if not resolved.why_not:
        reason = _why_impossible(rule, layer)
        if reason:
            raise InvalidRecipeError(f"layer {layer.name!r} ({layer.operator}), by {', '.join(rules)}: {reason}")
    return resolved


def _why_impossible(rule: LayerRule, layer: WeightedLayer) -> str:
    shape = layer.shape
    methods = methods_for(rule.method, shape)
    if rule.rank == "vbmf" and not all(method.has_vbmf for method in methods):
        return "rank vbmf is estimated from matrices, and cp has none; give a rank, ratio or energy"
    if rule.rank is None or isinstance(rule.rank, str):
        return ""
    given = rule.rank if isinstance(rule.rank, list) else [rule.rank]
    for method in methods:
        highest = method.highest(shape)
        if len(given) > 1 and len(given) != len(highest):
            return f"{method.name} has {len(highest)} rank, found {len(given)}; give one, or method: tucker"
        for rank, most in zip(given * (len(highest) if len(given) == 1 else 1), highest, strict=True):
            if rank > most:
                return f"rank {rank} is above the highest of {method.name}, {' x '.join(map(str, highest))}"
    return ""
