"""A weight and its scheme -> the stored weight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgecompile.compress.quantize.scheme import LayerScheme
from edgecompile.compress.quantize.storage.blocks import blocks_of
from edgecompile.compress.quantize.storage.codebook import encode_codebook
from edgecompile.compress.quantize.storage.half import encode_half, largest
from edgecompile.compress.quantize.storage.power_of_two import encode_power_of_two
from edgecompile.compress.quantize.storage.uniform import coded
from edgecompile.compress.quantize.weights import IntegerWeight, WeightForm, nearest
from edgecompile.errors import InvalidRecipeError
from edgecompile.storage.stored_weight import StoredWeight


def encode(
    layer: str, operator: str, weight: np.ndarray, scheme: LayerScheme, integers: IntegerWeight | None = None
) -> StoredWeight:
    """What the scheme makes of a layer's weight.

    Args:
        layer: its name, for errors.
        operator: as `granularity` names it.
        weight: float32, as the operator takes it.
        integers: of a uniform weight; None means the nearest.

    Raises:
        InvalidRecipeError: the weight is not finite, or not in the range of the dtype.
    """
    if not np.isfinite(weight).all():
        raise InvalidRecipeError(f"layer {layer!r} has weights that are NaN or infinite: skip it")
    weights = scheme.weights
    if weights.dtype in ("float16", "bfloat16"):
        most, found = largest(weights.dtype), float(np.abs(weight).max(initial=0.0))
        if found > most:
            raise InvalidRecipeError(
                f"layer {layer!r}: {weights.dtype} holds magnitudes up to {most:g}, found {found:g}; skip it, or give "
                f"it {'weights.dtype bfloat16' if weights.dtype == 'float16' else 'another weights.dtype'}"
            )
        return encode_half(weight, weights.dtype)
    blocks = blocks_of(operator, weight.shape, weights)
    stored = _coded(weight, blocks, scheme) if integers is None else coded(integers, weights.code_bits)
    with np.errstate(over="ignore"):
        is_finite = np.isfinite(stored.decode()).all()
    if not is_finite:
        raise InvalidRecipeError(
            f"layer {layer!r}: rounding takes weights of up to {np.abs(weight).max():g} beyond float32; skip the layer"
        )
    return stored


def _coded(weight: np.ndarray, blocks: Sequence[int], scheme: LayerScheme) -> StoredWeight:
    weights = scheme.weights
    if weights.method == "codebook":
        return encode_codebook(weight, blocks, weights.code_bits)
    if weights.method == "power_of_two":
        return encode_power_of_two(weight, blocks, weights.code_bits)
    return coded(nearest(weight, WeightForm.of(scheme, blocks)), weights.code_bits)
