"""Put stored weights in the place of constants: pure in module and schemes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import tvm
from tvm import relax

from edgecompile.compress.quantize.storage.encode import encode
from edgecompile.decision import Decision
from edgecompile.storage.insert_weights import insert_weights, weight_position

if TYPE_CHECKING:
    from edgecompile.compress.quantize.scheme import LayerScheme
    from edgecompile.compress.quantize.weights import IntegerWeight
    from edgecompile.storage.stored_weight import StoredWeight

STEP = "StoreWeights"


def store_weights(
    module: tvm.IRModule,
    schemes: Mapping[str, LayerScheme],
    decisions: list[Decision],
    progress: Callable[[str], None] = lambda phase: None,
    integers: Mapping[str, IntegerWeight] | None = None,
) -> tvm.IRModule:
    """The module with the weights of some layers in fewer bits; their operators stay float.

        conv2d(x, w)   ->   conv2d(x, edgecompile.decode(codes, scale, zero_point))

    Args:
        module: after `simplify_model`.
        schemes: by the name of the variable that holds a layer's result; their activations are not quantized.
        decisions: receives one for each scheme.
        progress: told the name of each layer.
        integers: of weights that shall not be the nearest ones, by the same names.

    Raises:
        InvalidRecipeError: see `encode`.
    """
    found: dict[str, StoredWeight] = {}
    for binding in (binding for block in module["main"].body.blocks for binding in block.bindings):
        name = binding.var.name
        if name in schemes:
            stored = _stored(binding, schemes[name], decisions, progress, (integers or {}).get(name))
            if stored is not None:
                found[name] = stored
    return insert_weights(module, found)


def _stored(
    binding: relax.Binding,
    scheme: LayerScheme,
    decisions: list[Decision],
    progress: Callable[[str], None],
    integers: IntegerWeight | None,
) -> StoredWeight | None:
    """The layer's stored weight; None where the weight stays as it is."""
    name, call = binding.var.name, binding.value
    weight = call.args[weight_position(call)]
    reason = _why_not(weight, scheme)
    if reason:
        decisions.append(Decision(STEP, name, False, reason))
        return None
    progress(f"store {name}")
    array = weight.value.numpy()
    stored = encode(name, str(call.op.name).removeprefix("relax."), array, scheme, integers)
    decisions.append(Decision(STEP, name, True, _describe(array, stored, scheme)))
    return stored


def _why_not(weight: relax.Expr, scheme: LayerScheme) -> str:
    if not isinstance(weight, tvm.ir.GenericConst):
        return "its weight is computed at run time"
    if str(weight.ty.dtype) != "float32":
        return f"its weight is {weight.ty.dtype}, not float32"
    return "the recipe leaves its weight as it is" if scheme.weights.dtype == "none" else ""


def _describe(weight: np.ndarray, stored: StoredWeight, scheme: LayerScheme) -> str:
    weights = scheme.weights
    method = "" if weights.method == "uniform" else f" {weights.method.replace('_', ' ')} of {weights.code_bits} bits"
    group = f" of {weights.group_size}" if weights.group_size else ""
    shared = f", {weights.granularity.replace('_', ' ')}{group}" if weights.is_integer else ""
    return (
        f"{weights.dtype}{method}{shared}: {weight.nbytes:,} to {stored.nbytes:,} bytes, "
        f"{_signal_to_noise(weight, stored.decode())}"
    )


def _signal_to_noise(weight: np.ndarray, decoded: np.ndarray) -> str:
    """In decibels: ten times the logarithm of the energy of the weight by that of its error."""
    exact = weight.astype(np.float64)
    scale = np.abs(exact).max(initial=0.0) or 1.0
    noise = np.square((exact - decoded) / scale).sum()
    if noise == 0:
        return "exact"
    return f"signal to noise {10 * np.log10(np.square(exact / scale).sum() / noise):.1f} dB"
