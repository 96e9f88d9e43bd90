"""Movements, concatenations, and plain changes of scale."""

from __future__ import annotations

import tvm
from tvm import relax

from edgecompile.passes.integers.graph import Graph
from edgecompile.passes.integers.output import Output
from edgecompile.passes.integers.quantized import Quantized


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
