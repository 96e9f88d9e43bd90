"""What is no product: residual sums, pooling, movements, tables, and plain changes of scale."""

from __future__ import annotations

import numpy as np
import tvm
import tvm_ffi
from tvm import relax

from edgecompile.integer import operators
from edgecompile.integer.requantization import MULTIPLIER_BITS
from edgecompile.passes.integers.graph import Graph
from edgecompile.passes.integers.output import Output
from edgecompile.passes.integers.quantized import Quantized

# Of one number: a table has every answer.
UNARY = (
    "sigmoid",
    "tanh",
    "nn.gelu",
    "nn.gelu_tanh",
    "nn.silu",
    "nn.leakyrelu",
    "exp",
    "erf",
    "abs",
    "negative",
    "sqrt",
)


def rescaled(output: Output, graph: Graph) -> relax.Expr | None:
    """`quantize(dequantize(x))`, movements between them or not -> x itself where nothing changes, else requantized."""
    x = graph.quantized(output.data)
    if x is None or not x.is_per_tensor or isinstance(x.value, tvm.ir.GenericConst):
        return None
    return change_scale(x, output)


def change_scale(x: Quantized, output: Output) -> relax.Expr | None:
    """An int8 tensor in the scale of the output."""
    same = x.zero_point == output.zero_point and float(x.scale) == output.scale
    if same and (output.low, output.high) == (-128, 127):
        return x.value
    return output.requantized(x.value, x.scale, input_zero_point=x.zero_point)


def added(output: Output, graph: Graph) -> relax.Expr | None:
    """`quantize(a + b)` of two dequantized tensors of one shape."""
    call = graph.call(output.data, "add", "subtract")
    if call is None:
        return None
    a, b = (graph.quantized(argument) for argument in call.args)
    if a is None or b is None or not (a.is_per_tensor and b.is_per_tensor):
        return None
    if not tvm_ffi.structural_equal(call.args[0].ty.shape, call.args[1].ty.shape):
        return None
    factors = np.array([float(a.scale), float(b.scale)]) / output.scale
    shift = MULTIPLIER_BITS - int(np.frexp(factors.max())[1])
    multipliers = np.rint(factors * 2.0**shift)
    if multipliers.max() >= 2**MULTIPLIER_BITS:  # rounded up to the next power of two
        shift -= 1
        multipliers = np.rint(factors * 2.0**shift)
    if not 1 <= shift <= 30:
        return None
    first, second = (int(number) for number in multipliers)
    return operators.add(
        a.value,
        b.value,
        multipliers=(first, second if call.op.name == "relax.add" else -second),
        shift=shift,
        zero_points=(a.zero_point, b.zero_point),
        zero_point=output.zero_point,
        low=output.low,
        high=output.high,
    )


def averaged(output: Output, graph: Graph) -> relax.Expr | None:
    """A mean over axes -> an integer sum; its count is part of the scale."""
    call = graph.call(output.data, "mean", "nn.adaptive_avg_pool2d")
    if call is None:
        return None
    x = graph.quantized(call.args[0])
    if x is None or not x.is_per_tensor:
        return None
    shape = [int(extent) for extent in call.args[0].ty.shape.values]
    if call.op.name == "relax.mean":
        axes = [int(axis) % len(shape) for axis in call.attrs.axis or range(len(shape))]
        keeps = bool(call.attrs.keepdims)
    else:
        if [int(extent) for extent in call.ty.shape.values[2:]] != [1, 1]:
            return None
        axes, keeps = [2, 3], True
    count = int(np.prod([shape[axis] for axis in axes]))
    total = graph.emit(relax.op.sum(graph.emit(relax.op.astype(x.value, "int32"), "wide"), axes, keeps), "total")
    return output.requantized(total, x.scale / count, input_zero_point=x.zero_point * count)


def joined(output: Output, graph: Graph) -> relax.Expr | None:
    """concat of dequantized tensors: each in the scale of the result."""
    call = graph.call(output.data, "concat")
    if call is None or not isinstance(call.args[0], relax.Tuple):
        return None
    parts = [graph.quantized(field) for field in call.args[0].fields]
    changed = [change_scale(part, output) if part is not None and part.is_per_tensor else None for part in parts]
    if any(part is None for part in changed):
        return None
    fields = [part if isinstance(part, relax.Var) else graph.emit(part, "rescaled") for part in changed]
    return relax.op.concat(fields, int(call.attrs.axis))


def looked_up(output: Output, graph: Graph) -> relax.Expr | None:
    """A function of one dequantized number -> a table of its 256 answers, computed now as TVM computes them."""
    call = graph.call(output.data, *UNARY)
    if call is None:
        return None
    x = graph.quantized(call.args[0])
    if x is None or not x.is_per_tensor:
        return None
    steps = np.arange(-128, 128, dtype=np.float32) - np.float32(x.zero_point)
    real = (steps * np.float32(x.scale)).astype(np.float32)
    return operators.lookup(x.value, output.quantized(_apply(call, real)))


def _apply(call: relax.Call, values: np.ndarray) -> np.ndarray:
    """The operator's answers for a vector, by TVM's own constant folding."""
    builder = relax.BlockBuilder()
    with builder.function("main", []):
        with builder.dataflow():
            result = builder.emit_output(relax.Call(call.op, [relax.const(values), *call.args[1:]], call.attrs))
        builder.emit_func_output(result)
    folded = relax.transform.FoldConstant()(relax.transform.LegalizeOps()(builder.get()))
    body = folded["main"].body
    found = body.body if isinstance(body.body, tvm.ir.GenericConst) else body.blocks[0].bindings[-1].value
    return np.asarray(found.value.numpy())
