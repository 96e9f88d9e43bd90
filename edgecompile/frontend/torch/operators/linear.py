"""Matrix products; those of half-precision operands are summed in float32, as PyTorch does."""

from __future__ import annotations

from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context
from edgecompile.frontend.torch.registry import converter


@converter("linear.default")
def linear(context: Context, args: Arguments) -> relax.Expr:
    """`input @ weight.T + bias`, kept in the input's rank.

    input [..., in], weight [out, in], bias [out] or None.
    """
    product = _product(context, args.input, context.emit(relax.op.permute_dims(args.weight)))
    return product if args.bias is None else relax.op.add(context.emit(product), args.bias)


@converter("mm.default", "bmm.default")
def matrix_product(context: Context, args: Arguments) -> relax.Expr:
    """`self @ mat2`, batched or not."""
    return _product(context, args.self, args.mat2)


@converter("matmul.default")
def matmul(context: Context, args: Arguments) -> relax.Expr:
    """NumPy's matmul."""
    return _product(context, args.self, args.other)


@converter("mv.default")
def matrix_vector(context: Context, args: Arguments) -> relax.Expr:
    """`self @ vec`."""
    return _product(context, args.self, args.vec)


@converter("dot.default")
def dot(context: Context, args: Arguments) -> relax.Expr:
    """The inner product of two vectors."""
    products = context.emit(relax.op.multiply(context.wide(args.self), context.wide(args.tensor)))
    return context.narrow(relax.op.sum(products))


@converter("addmm.default")
def add_product(context: Context, args: Arguments) -> relax.Expr:
    """`beta * self + alpha * mat1 @ mat2`."""
    return _scaled_sum(context, args, _product(context, args.mat1, args.mat2))


@converter("baddbmm.default")
def add_batched_product(context: Context, args: Arguments) -> relax.Expr:
    """`beta * self + alpha * batch1 @ batch2`."""
    return _scaled_sum(context, args, _product(context, args.batch1, args.batch2))


@converter("addbmm.default")
def add_summed_product(context: Context, args: Arguments) -> relax.Expr:
    """`beta * self + alpha * sum over the batch of batch1 @ batch2`."""
    products = context.emit(relax.op.matmul(args.batch1, args.batch2, out_dtype=context.accumulator))
    return _scaled_sum(context, args, context.narrow(relax.op.sum(products, [0])))


@converter("addmv.default")
def add_matrix_vector(context: Context, args: Arguments) -> relax.Expr:
    """`beta * self + alpha * mat @ vec`."""
    return _scaled_sum(context, args, _product(context, args.mat, args.vec))


def _product(context: Context, left: relax.Expr, right: relax.Expr) -> relax.Expr:
    return context.narrow(relax.op.matmul(left, right, out_dtype=context.accumulator))


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
