"""Products of matrices: MatMul, Gemm, Einsum."""

from __future__ import annotations

from tvm import relax

from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, is_float, is_half
from edgecompile.frontend.onnx.emit import cast, in_float32, scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.operators.quantize import permute
from edgecompile.frontend.onnx.registry import operator

op = relax.op


@operator("MatMul")
def matmul(context: Context, node: Node, inputs: Inputs) -> Result:
    """The product of stacks of matrices, vectors included, by NumPy's rules."""
    return _product(context, inputs[0], inputs[1])


def _product(context: Context, a: relax.Expr, b: relax.Expr) -> relax.Expr:
    """a @ b; sums of 16-bit floats are kept in float32, as every other runtime does."""
    dtype = dtype_of(a)
    if is_half(dtype):
        return cast(context, context.emit(op.matmul(a, b, out_dtype="float32")), dtype)
    return context.emit(op.matmul(a, b))


@operator("Gemm")
def gemm(context: Context, node: Node, inputs: Inputs) -> Result:
    """alpha A' B' + beta C, where A and B may be transposed and C broadcasts."""
    a, b, c = inputs[0], inputs[1], inputs[2]
    dtype = dtype_of(a)
    if node.integer("transA", 0):
        a = permute(context, a, [1, 0])
    if node.integer("transB", 0):
        b = permute(context, b, [1, 0])
    result = _scaled(context, _product(context, a, b), node.floating("alpha", 1.0), dtype)
    if c is None or node.floating("beta", 1.0) == 0.0:
        return result
    return context.emit(op.add(result, _scaled(context, c, node.floating("beta", 1.0), dtype)))


def _scaled(context: Context, x: relax.Expr, factor: float, dtype: str) -> relax.Expr:
    if factor == 1.0:
        return x
    if is_float(dtype):
        return context.emit(op.multiply(x, scalar(factor, dtype)))
    wide = context.emit(op.multiply(cast(context, x, "float64"), scalar(factor, "float64")))
    return cast(context, wide, dtype)


@operator("Einsum")
@in_float32
def einsum(context: Context, node: Node, inputs: Inputs) -> Result:
    """Products summed over the subscripts that the right side leaves out."""
    return context.emit(op.einsum(tuple(inputs), node.string("equation").replace(" ", "")))
