"""Weights that a model brings in fewer bits, for operators that stay float, stay in these."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision

if TYPE_CHECKING:
    import numpy as np
    import tvm
    from tvm import relax

    from edgecompile.storage.stored_weight import StoredWeight

_LEAST_ELEMENTS = 4096
"""Below, the kernel that decodes a weight takes more bytes than the weight saves."""

WEIGHT_AT = {
    "relax.matmul": 1,
    "relax.nn.conv1d": 1,
    "relax.nn.conv1d_transpose": 1,
    "relax.nn.conv2d": 1,
    "relax.nn.conv2d_transpose": 1,
    "relax.nn.conv3d": 1,
    "relax.take": 0,
}
"""Operator -> which of its arguments is a weight, or a table of embeddings."""

VIEWS = ("relax.reshape", "relax.permute_dims")
"""Operators that move the numbers of a weight and leave them as they are."""


@dataclass(frozen=True)
class KeepStoredWeights:
    """Decode what would be folded to floats.

        matmul(x, dequantize(int8 constant))            ->   matmul(x, edgecompile.decode(codes, scale, zero_point))
        take(astype(float16 constant, float32), rows)   ->   take(edgecompile.decode(values), rows)

    Between both may be reshapes and transpositions. The decoded numbers are the same, bit for bit. Weights that a
    batch norm will be folded into become floats, as do those of a model whose inputs have no fixed shape: they would be
    decoded in every inference.
    """

    name: str = "KeepStoredWeights"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        import tvm
        from tvm import relax

        from edgecompile.storage.operators import decode

        main = module["main"]
        if not isinstance(main.body, relax.SeqExpr) or not all(_is_static(parameter.ty) for parameter in main.params):
            return module
        bindings = [binding for block in main.body.blocks for binding in block.bindings]
        values = {binding.var: binding.value for binding in bindings if isinstance(binding, relax.VarBinding)}
        calls: dict[relax.Var, relax.Call] = {}
        for weight, layer in _weights_of_layers(values).items():
            stored = _stored(weight, values)
            if stored is not None:
                calls[weight] = decode(stored)
                reason = f"{stored}, {stored.nbytes:,} bytes instead of {stored.float_bytes:,}, as the model brings it"
                decisions.append(Decision(self.name, layer.name, True, reason))
        if not calls:
            return module
        blocks = [type(block)([_renewed(binding, calls) for binding in block.bindings]) for block in main.body.blocks]
        body = relax.BlockBuilder().normalize(relax.SeqExpr(blocks, main.body.body))
        result = tvm.IRModule(dict(module.functions_items()), attrs=module.attrs)
        result[module.get_global_var("main")] = relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
        return result


def _renewed(binding: relax.Binding, calls: Mapping[relax.Var, relax.Call]) -> relax.Binding:
    from tvm import relax

    return relax.VarBinding(binding.var, calls[binding.var]) if binding.var in calls else binding


def _is_static(type_: tvm.ir.Type) -> bool:
    from tvm import tirx

    extents = getattr(getattr(type_, "shape", None), "values", None)
    return extents is not None and all(isinstance(extent, tirx.IntImm) for extent in extents)


def _weights_of_layers(values: Mapping[relax.Var, relax.Expr]) -> dict[relax.Var, relax.Var]:
    """The variables that layers read as weights, and one layer of each; none that a batch norm follows."""
    from tvm import relax

    found: dict[relax.Var, relax.Var] = {}
    readers: dict[relax.Var, list[str]] = defaultdict(list)
    for variable, value in values.items():
        for argument in value.args if isinstance(value, relax.Call) else ():
            if isinstance(argument, relax.Var):
                readers[argument].append(operator_of(value))
        position = WEIGHT_AT.get(operator_of(value))
        if position is not None and isinstance(value.args[position], relax.Var):
            found.setdefault(value.args[position], variable)
    return {weight: layer for weight, layer in found.items() if "relax.nn.batch_norm" not in readers[layer]}


def operator_of(value: relax.Expr) -> str:
    """The name of the operator that an expression calls; "" of what calls none."""
    import tvm
    from tvm import relax

    return str(value.op.name) if isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.Op) else ""


def _stored(weight: relax.Var, values: Mapping[relax.Var, relax.Expr]) -> StoredWeight | None:
    """What a variable stands for; None where that is no constant in fewer bits, or too small."""
    from tvm import relax

    value = values.get(weight)
    if value is None or str(weight.ty.dtype) != "float32" or not _is_static(weight.ty):
        return None
    if math.prod(int(extent) for extent in weight.ty.shape.values) < _LEAST_ELEMENTS:
        return None
    if operator_of(value) not in VIEWS:
        return _read(value)
    source = value.args[0]
    found = _stored(source, values) if isinstance(source, relax.Var) else None
    if found is None:
        return None
    if operator_of(value) == "relax.reshape":
        shape = [int(extent) for extent in weight.ty.shape.values]
        return found.moved(lambda array: array.reshape(shape))
    axes = None if value.attrs.axes is None else [int(axis) for axis in value.attrs.axes]
    return found.moved(lambda array: array.transpose(axes).copy())


def _read(value: relax.Expr) -> StoredWeight | None:
    import tvm

    from edgecompile.storage.stored_weight import HalfWeight

    operator = operator_of(value)
    if operator not in ("relax.astype", "relax.dequantize"):
        return None
    if not all(isinstance(argument, tvm.ir.GenericConst) for argument in value.args):
        return None
    arrays = [argument.value.numpy() for argument in value.args]
    if operator == "relax.astype":
        return HalfWeight(arrays[0]) if arrays[0].dtype.name in ("float16", "bfloat16") else None
    integers, scale, zero_point = arrays
    return _coded(integers, scale, zero_point, int(value.attrs.axis))


def _coded(integers: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, axis: int) -> StoredWeight | None:
    """The codes of int8 or uint8 numbers; 4 bits are enough where a model brought int4 or uint4."""
    import numpy as np

    from edgecompile.storage.stored_weight import CodedWeight

    if integers.dtype.name not in ("int8", "uint8") or scale.dtype != np.float32 or not np.isfinite(scale).all():
        return None
    is_signed = integers.dtype == np.int8
    wide, zeros = integers.astype(np.int16), zero_point.astype(np.int16)
    low, high = (min(wide.min(), zeros.min()), max(wide.max(), zeros.max()))
    bits = 4 if (low >= -8 and high <= 7 if is_signed else high <= 15) else 8
    middle = 1 << (bits - 1) if is_signed else 0
    blocks = [scale.size if index == axis % integers.ndim else 1 for index in range(integers.ndim)]
    codes, zero_codes = ((array + middle).astype(np.uint8) for array in (wide, zeros))
    if zero_codes.size == 1:
        zero_codes = zero_codes.reshape([1] * integers.ndim)
    else:  # one scale beside several zero points is one for each of them
        blocks = [zero_codes.size if index == axis % integers.ndim else 1 for index in range(integers.ndim)]
        scale, zero_codes = np.broadcast_to(scale.reshape(-1), zero_codes.size), zero_codes.reshape(blocks)
    return CodedWeight(codes, bits, scale.reshape(blocks).copy(), zero_point=zero_codes)
