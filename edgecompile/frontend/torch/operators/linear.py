"""Matrix products, in the dtype of their operands."""

from __future__ import annotations

from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context
from edgecompile.frontend.torch.registry import converter


@converter("linear.default")
def linear(context: Context, args: Arguments) -> relax.Expr:
    """`input @ weight.T + bias`, kept in the input's rank.

    input [..., in], weight [out, in], bias [out] or None.
    """
    product = relax.op.matmul(args.input, context.emit(relax.op.permute_dims(args.weight)))
    return product if args.bias is None else relax.op.add(context.emit(product), args.bias)


@converter("mm.default", "bmm.default")
def matrix_product(context: Context, args: Arguments) -> relax.Expr:
    """`self @ mat2`, batched or not."""
    return relax.op.matmul(args.self, args.mat2)


@converter("matmul.default")
def matmul(context: Context, args: Arguments) -> relax.Expr:
    """NumPy's matmul."""
    return relax.op.matmul(args.self, args.other)


@converter("mv.default")
def matrix_vector(context: Context, args: Arguments) -> relax.Expr:
    """`self @ vec`."""
    return relax.op.matmul(args.self, args.vec)


@converter("dot.default")
def dot(context: Context, args: Arguments) -> relax.Expr:
    """The inner product of two vectors."""
    return relax.op.sum(context.emit(relax.op.multiply(args.self, args.tensor)))


@converter("addmm.default")
def add_product(context: Context, args: Arguments) -> relax.Expr:
    """`beta * self + alpha * mat1 @ mat2`."""
    return _scaled_sum(context, args, relax.op.matmul(args.mat1, args.mat2))


@converter("baddbmm.default")
def add_batched_product(context: Context, args: Arguments) -> relax.Expr:
    """`beta * self + alpha * batch1 @ batch2`."""
    return _scaled_sum(context, args, relax.op.matmul(args.batch1, args.batch2))


@converter("addmv.default")
def add_matrix_vector(context: Context, args: Arguments) -> relax.Expr:
    """`beta * self + alpha * mat @ vec`."""
    return _scaled_sum(context, args, relax.op.matmul(args.mat, args.vec))


def _scaled_sum(context: Context, args: Arguments, product: relax.Expr) -> relax.Expr:
    product = context.emit(product)
    if args.alpha != 1:
        product = context.emit(relax.op.multiply(product, context.tensor(args.alpha, context.dtype)))
    if args.beta == 0:  # PyTorch ignores `self` then, NaN included
        return product
    addend = args.self
    if args.beta != 1:
        addend = context.emit(relax.op.multiply(addend, context.tensor(args.beta, context.dtype)))
    return relax.op.add(product, addend)
