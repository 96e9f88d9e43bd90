"""Combinations of a scheme's settings that mean nothing or cannot be computed, and why."""

from __future__ import annotations

from edgecompile.compress.quantize.granularity import sum_axis
from edgecompile.compress.quantize.quantizable import QuantizableLayer
from edgecompile.compress.quantize.scheme import INTEGER_BITS, LayerScheme


def why_impossible(scheme: LayerScheme) -> str | None:
    """One line that says what does not go together and what to do; None when all does."""
    if scheme.skip:
        return None
    return _weights(scheme) or _activations(scheme) or _options(scheme)


def why_unfit(scheme: LayerScheme, layer: QuantizableLayer) -> str | None:
    """One line that says why the scheme, possible in itself, does not fit the layer; None when it does."""
    shape, size = layer.weight_shape, scheme.weights.group_size
    if scheme.skip or not scheme.weights.is_integer or shape is None or size is None:
        return None
    channels = shape[sum_axis(layer.operator, len(shape))]
    if channels % size:
        return (
            f"weights.group_size must divide its {channels} input channels (weight {list(shape)}), found {size}; give "
            "the layer another one, or weights.granularity per_channel with group_size null"
        )
    return None


def _weights(scheme: LayerScheme) -> str | None:
    weights = scheme.weights
    if weights.granularity == "per_group" and weights.group_size is None:
        return "weights.granularity per_group needs weights.group_size; give a number that divides the input channels"
    if weights.granularity != "per_group" and weights.group_size is not None:
        return f"weights.group_size goes with per_group, found {weights.granularity}; change one of them"
    if weights.method == "uniform":
        if weights.bits is not None:
            return "weights.bits goes with codebook and power_of_two, for uniform weights.dtype says it; leave it out"
        return None
    if not weights.is_integer:
        return f"weights.method {weights.method} needs weights.dtype int8 or int4, found {weights.dtype}"
    if not weights.symmetric:
        return f"weights.method {weights.method} has no zero point; leave weights.symmetric true"
    if weights.code_bits > INTEGER_BITS[weights.dtype]:
        return f"weights.bits {weights.bits} do not fit weights.dtype {weights.dtype}; use int8, or fewer bits"
    return None


def _activations(scheme: LayerScheme) -> str | None:
    weights, activations = scheme.weights, scheme.activations
    if not activations.is_integer:
        return None
    if not weights.is_integer:
        return (
            f"activations.dtype {activations.dtype} needs integer weights, found weights.dtype {weights.dtype}; set "
            "activations.dtype to none, or skip the layer"
        )
    if weights.method != "uniform":
        return (
            f"weights.method {weights.method} is for storage: the sums are not of integers; set activations.dtype to "
            "none"
        )
    if weights.granularity == "per_group":
        return (
            "weights.granularity per_group ends each integer sum at its group; set activations.dtype to none, or use "
            "per_channel"
        )
    if activations.dtype == "int16" and not activations.symmetric:
        return "int16 activations minus a zero point need 17 bits; set activations.symmetric to true"
    if activations.mode == "dynamic" and activations.dtype == "int16":
        return (
            "dynamic activations have 8 bits, found int16; set activations.dtype to int8, or activations.mode to static"
        )
    if activations.mode == "static" and activations.granularity == "per_row":
        return (
            "scales per row are found at run time; set activations.mode to dynamic, or activations.granularity to "
            "per_tensor"
        )
    if activations.mode == "static" and scheme.calibration is None:
        return "static activations need a calibration, found null; name a method, or set activations.mode to dynamic"
    return None


def _options(scheme: LayerScheme) -> str | None:
    weights = scheme.weights
    if scheme.rounding != "nearest" and not (weights.is_integer and weights.method == "uniform"):
        return f"rounding {scheme.rounding} is for uniform integer weights; use nearest"
    if scheme.reduce_range and (weights.dtype != "int8" or weights.method != "uniform"):
        return f"reduce_range is for uniform int8 weights, found {weights.method} {weights.dtype}; leave it out"
    if scheme.smooth is not None and not scheme.activations.is_integer:
        return "smooth makes activations easier to quantize, and activations.dtype is none; leave it out"
    return None
