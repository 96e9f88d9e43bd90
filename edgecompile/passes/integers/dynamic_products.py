"""Products of matrices whose scales, or zero points, are found at run time: integer sums too."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from edgecompile.integer import operators
from edgecompile.passes.integers.graph import Graph

_MOVED = {"uint8": 128, "int8": 0}  # what makes the integers int8


def row_product(value: relax.Var, graph: Graph) -> relax.Expr | None:
    """matmul of rows with scales of their own and a quantized matrix -> integer sums, times both scales.

    What follows, a bias say, stays a float operator, and joins the kernel of the sums.
    """
    call = graph.call(value, "matmul")
    if call is None or len(call.args[1].ty.shape.values) != 2 or str(call.ty.dtype) != "float32":
        return None
    a = graph.quantized_rows(call.args[0])
    b = graph.quantized(call.args[1]) if a is not None else None
    if a is None or b is None or (b.scale.ndim and b.axis != 1):
        return None
    sums = operators.matmul(a.value, b.value, zero_point=0, other_zero_point=b.zero_point)
    # By their names the kernel is found in reports.
    real = graph.emit(relax.op.astype(graph.emit(sums, f"{value.name}_sums"), "float32"), f"{value.name}_real")
    rows = graph.emit(relax.op.multiply(real, a.scales), f"{value.name}_rows")
    return relax.op.multiply(rows, relax.const(b.scale.astype(np.float32), "float32"))


def centred_product(value: relax.Var, graph: Graph) -> relax.Expr | None:
    """The product of bytes minus a zero point that is known at run time only, and a known matrix: ONNX's MatMulInteger.

        matmul(int16(a) - int16(z), w)   ->   edgecompile.matmul(a', w) - z' * sum(w)

    a' and z' are a and z as int8, moved by 128 where they have no sign; the sum goes over the rows of w. All in int32.
    """
    call = graph.call(value, "matmul")
    if call is None or str(call.ty.dtype) != "int32" or not isinstance(call.args[1], tvm.ir.GenericConst):
        return None
    matrix = call.args[1].value.numpy()
    fits = matrix.min(initial=0) >= -128 and matrix.max(initial=0) <= 127
    if matrix.ndim != 2 or len(call.args[0].ty.shape.values) < 2 or not fits:
        return None
    centred = graph.call(call.args[0], "subtract")
    wide = graph.call(call.args[0] if centred is None else centred.args[0], "astype")
    if wide is None or str(wide.args[0].ty.dtype) not in _MOVED or str(wide.ty.dtype) != "int16":
        return None
    moved = _MOVED[str(wide.args[0].ty.dtype)]
    zero = relax.const(-moved, "int32")
    if centred is not None:
        shape = [int(extent) for extent in centred.args[1].ty.shape.values]
        if shape and shape[-1] != 1:
            return None  # not one for each row
        plain = graph.emit(relax.op.astype(graph.renewed(centred.args[1]), "int32"), "zero_point")
        zero = graph.emit(relax.op.add(plain, zero), "zero_point")
    sums = operators.matmul(
        graph.signed(wide.args[0]), relax.const(matrix.astype(np.int8), "int8"), zero_point=0, other_zero_point=0
    )
    columns = relax.const(matrix.sum(axis=0, dtype=np.int32), "int32")
    correction = graph.emit(relax.op.multiply(zero, columns), "correction")
    return relax.op.subtract(graph.emit(sums, f"{value.name}_sums"), correction)
