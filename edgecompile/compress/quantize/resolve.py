"""`resolve`: a quantization step and a model's layers to a scheme for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgecompile.compress.quantize.combinations import why_impossible, why_unfit
from edgecompile.compress.quantize.quantizable import EMBEDDING_OPERATORS, QuantizableLayer
from edgecompile.compress.quantize.recipe import QuantizeStep
from edgecompile.compress.quantize.scheme import ActivationScheme, LayerScheme
from edgecompile.compress.rules import refuse_unmatched, rules_for
from edgecompile.errors import InvalidRecipeError

_OF_TABLES = LayerScheme(activations=ActivationScheme(dtype="none"), calibration=None)
"""Of embeddings, which compute nothing: only how weights are stored is for a recipe to say."""


@dataclass(frozen=True)
class ResolvedLayer:
    """What a recipe says about one layer.

    Attributes:
        layer: the layer.
        scheme: all rules together.
        rules: that changed the scheme, in order; the last one wins. "default" is always the first.
    """

    layer: QuantizableLayer
    scheme: LayerScheme
    rules: tuple[str, ...]


def resolve(step: QuantizeStep, layers: Sequence[QuantizableLayer]) -> dict[str, LayerScheme]:
    """The scheme of each layer, by its name, in the order of `layers`; see `resolve_rules`."""
    return {found.layer.name: found.scheme for found in resolve_rules(step, layers)}


def resolve_rules(step: QuantizeStep, layers: Sequence[QuantizableLayer]) -> list[ResolvedLayer]:
    """Apply default < operators < layers, where of two rules the later one wins.

    Args:
        step: of a recipe.
        layers: of the model, with different names.

    Raises:
        InvalidRecipeError: there is no layer, a pattern matches none, every layer is skipped, or what the rules say
            together about a layer is impossible.
    """
    if not layers:
        raise InvalidRecipeError(
            "the recipe needs layers that can be quantized (convolutions, matrix products), and the model has none"
        )
    refuse_unmatched(step.layers, [layer.name for layer in layers], "layer that can be quantized")
    resolved = [_resolve(step, layer) for layer in layers]
    if all(found.scheme.skip for found in resolved):
        raise InvalidRecipeError(f"the recipe skips all {len(layers)} layers, nothing is left to quantize; skip fewer")
    return resolved


def _resolve(step: QuantizeStep, layer: QuantizableLayer) -> ResolvedLayer:
    scheme, rules = step.default, ["default"]
    for name, rule in rules_for([layer.name], [layer.operator], step.operators, step.layers):
        scheme = scheme.changed_by(rule)
        rules.append(name)
    if layer.operator in EMBEDDING_OPERATORS:
        scheme = _OF_TABLES.model_copy(update={"weights": scheme.weights, "skip": scheme.skip})
    reason = why_impossible(scheme) or why_unfit(scheme, layer)
    if reason:
        raise InvalidRecipeError(f"layer {layer.name!r} ({layer.operator}), by {', '.join(rules)}: {reason}")
    return ResolvedLayer(layer, scheme, tuple(rules))
