"""A scheme in the words of a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from edgecompile.compress.quantize.granularity import scale_shape
from edgecompile.compress.quantize.quantizable import (
    DYNAMIC_OPERATORS,
    ROW_OPERATORS,
    QuantizableLayer,
    quantizable_layers,
)
from edgecompile.compress.quantize.recipe import QuantizeStep
from edgecompile.compress.quantize.resolve import ResolvedLayer, resolve_rules
from edgecompile.compress.quantize.scheme import ActivationScheme, CalibrationMethod, LayerScheme, WeightScheme
from edgecompile.compress.quantize.storage.sizes import encoded_bytes

if TYPE_CHECKING:
    from edgecompile.frontend.model import Model

_FLOAT_BYTES = 4


class SchemeRow(NamedTuple):
    """What one layer becomes.

    Attributes:
        layer, operator: which one it is.
        weights: "int8", "int4 codebook"; "-" where there are none, "float" where they stay.
        activations: "int8 static", "int8 dynamic per_row", "float".
        granularity: "per_channel [64]" with the shape of the scales; "-" where there are no scales.
        calibration: the method, and the parameters that differ from its defaults; "-" where none is needed.
        options: what else is on.
        weight_bytes: "36,864 to 4,865": of its weight as it is and as it is stored; "-" where there is none.
        why: the rule that won, after those that it changed.
    """

    layer: str
    operator: str
    weights: str
    activations: str
    granularity: str
    calibration: str
    options: str
    weight_bytes: str
    why: str


def preview(model: Model, step: QuantizeStep) -> list[SchemeRow]:
    """What the step would make of each layer, without data.

    Raises:
        InvalidRecipeError: the step does not fit the model.
    """
    return [describe(resolved) for resolved in resolve_rules(step, quantizable_layers(model))]


def describe(resolved: ResolvedLayer) -> SchemeRow:
    """The row of one layer."""
    layer, scheme = resolved.layer, resolved.scheme
    shape, weights = layer.weight_shape, scheme.weights
    why = " < ".join(resolved.rules)
    if scheme.skip:
        return SchemeRow(
            layer.name, layer.operator, "float" if shape else "-", "float", "-", "-", "skip", _bytes(layer, None), why
        )
    activations = scheme.activations
    stays = _why_float(layer, scheme)
    if stays:
        return SchemeRow(layer.name, layer.operator, "-", "float", "-", "-", stays, "-", why)
    if activations.is_dynamic and layer.operator not in DYNAMIC_OPERATORS:
        kept = "float" if shape is not None else "-"
        return SchemeRow(
            layer.name, layer.operator, kept, "float", "-", "-", "dynamic is for matmul", _bytes(layer, None), why
        )
    has_scales = shape is not None and weights.is_integer
    return SchemeRow(
        layer=layer.name,
        operator=layer.operator,
        weights=_weights(weights) if shape is not None else "-",
        activations=_activations(activations),
        granularity=_granularity(layer.operator, shape, weights) if shape is not None and has_scales else "-",
        calibration=_calibration(scheme),
        options=", ".join(_options(scheme)) if shape is not None and _options(scheme) else "-",
        weight_bytes=_bytes(layer, scheme),
        why=why,
    )


def _why_float(layer: QuantizableLayer, scheme: LayerScheme) -> str:
    """Of what stays float unless a recipe asks for integers; "" where it asks."""
    if layer.operator in ROW_OPERATORS and scheme.nonlinear == "float":
        return "nonlinear=float"
    if layer.operator == "matmul" and layer.weight_shape is None and not scheme.attention:
        return "attention=off"
    return ""


def _bytes(layer: QuantizableLayer, scheme: LayerScheme | None) -> str:
    """Of the weight now, and by its scheme; None keeps it."""
    if layer.weight_shape is None:
        return "-"
    before = math.prod(layer.weight_shape) * _FLOAT_BYTES
    after = before if scheme is None else encoded_bytes(layer.operator, layer.weight_shape, scheme)
    return f"{before:,}" if after == before else f"{before:,} to {after:,}"


def _weights(weights: WeightScheme) -> str:
    if weights.dtype == "none":
        return "float"
    bits = f" of {weights.bits} bits" if weights.bits else ""
    method = "" if weights.method == "uniform" else f" {weights.method.replace('_', ' ')}{bits}"
    return f"{weights.dtype}{method}{'' if weights.symmetric else ' asymmetric'}"


def _activations(activations: ActivationScheme) -> str:
    if not activations.is_integer:
        return "float"
    rows = " per_row" if activations.has_row_scales else ""
    return f"{activations.dtype} {activations.mode}{rows}"


def _granularity(operator: str, shape: tuple[int, ...], weights: WeightScheme) -> str:
    scales = scale_shape(operator, shape, weights.granularity, weights.group_size)
    return f"{weights.granularity} {list(scales)}"


def _calibration(scheme: LayerScheme) -> str:
    if scheme.calibration is None or not scheme.activations.is_integer or scheme.activations.is_dynamic:
        return "-"
    return _method(scheme.calibration)


def _method(calibration: CalibrationMethod) -> str:
    changed = calibration.model_dump(exclude_defaults=True)
    parameters = [f"{name}={value}" for name, value in changed.items() if name != "method"]
    return ", ".join([str(calibration.model_dump()["method"]), *parameters])


def _options(scheme: LayerScheme) -> list[str]:
    found = [name for name in ("equalize", "bias_correction", "reduce_range") if getattr(scheme, name)]
    activations = scheme.activations
    if activations.is_integer and activations.symmetric and not activations.is_dynamic:
        found.append("symmetric activations")
    if scheme.rounding != "nearest":
        found.append(scheme.rounding)
    if scheme.smooth is not None:
        found.append(f"smooth={scheme.smooth:g}")
    return found
