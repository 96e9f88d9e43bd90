"""Put stored weights in the place of constants: pure in module and schemes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import tvm
from tvm import relax

from edgecompile.compress.quantize.quantizable import EMBEDDING_OPERATORS
from edgecompile.compress.quantize.storage.encode import encode
from edgecompile.decision import Decision
from edgecompile.storage.operators import decode

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
    main = module["main"]
    blocks = []
    for block in main.body.blocks:
        bindings: list[relax.Binding] = []
        for binding in block.bindings:
            name = binding.var.name
            scheme = schemes.get(name)
            made = None if scheme is None else _stored(binding, scheme, decisions, progress, (integers or {}).get(name))
            if made is None:
                bindings.append(binding)
                continue
            kind = relax.DataflowVar if isinstance(block, relax.DataflowBlock) else relax.Var
            variable = kind(f"{name}_weight", made.ty)
            bindings.append(relax.VarBinding(variable, made))
            call = binding.value
            arguments = list(call.args)
            arguments[_position(call)] = variable
            changed = relax.Call(call.op, arguments, call.attrs, call.ty_args, ret_ty=call.ty)
            bindings.append(relax.VarBinding(binding.var, changed))
        blocks.append(type(block)(bindings))
    body = relax.SeqExpr(blocks, main.body.body)
    result = tvm.IRModule(dict(module.functions_items()), attrs=module.attrs)
    function = relax.Function(main.params, relax.BlockBuilder().normalize(body), main.ret_ty, main.is_pure, main.attrs)
    result[module.get_global_var("main")] = function
    return result


def _stored(
    binding: relax.Binding,
    scheme: LayerScheme,
    decisions: list[Decision],
    progress: Callable[[str], None],
    integers: IntegerWeight | None,
) -> relax.Call | None:
    """The call that stands for the layer's stored weight; None where the weight stays as it is."""
    name, call = binding.var.name, binding.value
    weight = call.args[_position(call)]
    reason = _why_not(weight, scheme)
    if reason:
        decisions.append(Decision(STEP, name, False, reason))
        return None
    progress(f"store {name}")
    array = weight.value.numpy()
    stored = encode(name, str(call.op.name).removeprefix("relax."), array, scheme, integers)
    decisions.append(Decision(STEP, name, True, _describe(array, stored, scheme)))
    return decode(stored)


def _position(call: relax.Call) -> int:
    """Of the weight among a layer's arguments."""
    return 0 if str(call.op.name).removeprefix("relax.") in EMBEDDING_OPERATORS else 1


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
