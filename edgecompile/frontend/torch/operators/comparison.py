"""Comparisons, logic, bits and selection."""

from __future__ import annotations

from collections.abc import Callable

from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context, dtype_of, is_float
from edgecompile.frontend.torch.registry import converter

Operator = Callable[..., relax.Expr]


def _comparison(operator: Operator) -> Callable[[Context, Arguments], relax.Expr]:
    def convert(context: Context, args: Arguments) -> relax.Expr:
        dtype = context.promoted("self", "other")
        return operator(context.tensor(args.self, dtype), context.tensor(args.other, dtype))

    return convert


for _name, _operator in {
    "eq": relax.op.equal,
    "ne": relax.op.not_equal,
    "lt": relax.op.less,
    "le": relax.op.less_equal,
    "gt": relax.op.greater,
    "ge": relax.op.greater_equal,
}.items():
    converter(f"{_name}.Tensor", f"{_name}.Scalar")(_comparison(_operator))


def _truth(context: Context, value: relax.Expr) -> relax.Expr:
    """Non-zero is true."""
    dtype = dtype_of(value)
    return value if dtype == "bool" else context.emit(relax.op.not_equal(value, context.tensor(0, dtype)))


def _logic(operator: Operator) -> Callable[[Context, Arguments], relax.Expr]:
    def convert(context: Context, args: Arguments) -> relax.Expr:
        operands = [_truth(context, args.self)]
        if args.get("other") is not None:
            operands.append(_truth(context, args.other))
        return operator(*operands)

    return convert


for _name in ("logical_and", "logical_or", "logical_xor", "logical_not"):
    converter(f"{_name}.default")(_logic(getattr(relax.op, _name)))


def _bitwise(bits: Operator, logic: Operator) -> Callable[[Context, Arguments], relax.Expr]:
    def convert(context: Context, args: Arguments) -> relax.Expr:
        operator = logic if context.dtype == "bool" else bits
        operands = [context.tensor(args.self, context.dtype)]
        if args.get("other") is not None:
            operands.append(context.tensor(args.other, context.dtype))
        return operator(*operands)

    return convert


for _name in ("and", "or", "xor"):
    _converted = _bitwise(getattr(relax.op, f"bitwise_{_name}"), getattr(relax.op, f"logical_{_name}"))
    converter(f"bitwise_{_name}.Tensor", f"bitwise_{_name}.Scalar")(_converted)
converter("bitwise_not.default")(_bitwise(relax.op.bitwise_not, relax.op.logical_not))
converter("bitwise_left_shift.Tensor", "__lshift__.Scalar")(_bitwise(relax.op.left_shift, relax.op.left_shift))
converter("bitwise_right_shift.Tensor", "__rshift__.Scalar")(_bitwise(relax.op.right_shift, relax.op.right_shift))


@converter("isnan.default", "isinf.default", "isfinite.default")
def classify(context: Context, args: Arguments) -> relax.Expr:
    """NaN, infinite or finite; integers are always finite."""
    name = args.node.target.__name__.removesuffix(".default")
    if is_float(dtype_of(args.self)):
        return getattr(relax.op, name)(args.self)
    return relax.op.full_like(args.self, context.tensor(name == "isfinite", "bool"), "bool")


@converter("where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar")
def where(context: Context, args: Arguments) -> relax.Expr:
    """`condition ? self : other`, with the result's dtype."""
    condition = _truth(context, args.condition)
    return relax.op.where(
        condition, context.tensor(args.self, context.dtype), context.tensor(args.other, context.dtype)
    )


@converter("masked_fill.Scalar", "masked_fill.Tensor")
def masked_fill(context: Context, args: Arguments) -> relax.Expr:
    """`mask ? value : self`."""
    value = context.tensor(args.value, context.dtype)
    return relax.op.where(_truth(context, args.mask), value, context.tensor(args.self, context.dtype))
