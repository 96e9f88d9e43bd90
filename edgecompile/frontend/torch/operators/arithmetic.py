"""Elementwise arithmetic with PyTorch's dtype promotion."""

from __future__ import annotations

import math
from collections.abc import Callable

from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context, dtype_of, is_float
from edgecompile.frontend.torch.registry import converter


def _operands(context: Context, args: Arguments) -> tuple[relax.Expr, relax.Expr]:
    return context.tensor(args.self, context.dtype), context.tensor(args.other, context.dtype)


def _scaled(context: Context, value: relax.Expr, alpha: float) -> relax.Expr:
    return value if alpha == 1 else relax.op.multiply(value, context.tensor(alpha, context.dtype))


@converter("add.Tensor", "add.Scalar")
def add(context: Context, args: Arguments) -> relax.Expr:
    """`self + alpha * other`."""
    left, right = _operands(context, args)
    if context.dtype == "bool":
        return relax.op.logical_or(left, right)
    return relax.op.add(left, _scaled(context, right, args.alpha))


@converter("sub.Tensor", "sub.Scalar")
def subtract(context: Context, args: Arguments) -> relax.Expr:
    """`self - alpha * other`."""
    left, right = _operands(context, args)
    return relax.op.subtract(left, _scaled(context, right, args.alpha))


@converter("rsub.Tensor", "rsub.Scalar")
def reversed_subtract(context: Context, args: Arguments) -> relax.Expr:
    """`other - alpha * self`."""
    left, right = _operands(context, args)
    return relax.op.subtract(right, _scaled(context, left, args.alpha))


@converter("mul.Tensor", "mul.Scalar")
def multiply(context: Context, args: Arguments) -> relax.Expr:
    """`self * other`; of booleans, their conjunction."""
    left, right = _operands(context, args)
    return relax.op.logical_and(left, right) if context.dtype == "bool" else relax.op.multiply(left, right)


@converter("div.Tensor", "div.Scalar")
def divide(context: Context, args: Arguments) -> relax.Expr:
    """True division: integers are divided as floats."""
    return relax.op.divide(*_operands(context, args))


@converter("div.Tensor_mode", "div.Scalar_mode")
def divide_rounded(context: Context, args: Arguments) -> relax.Expr:
    """Division followed by floor or truncation."""
    left, right = _operands(context, args)
    if args.rounding_mode == "floor":
        return _floor_divide(context, left, right)
    if args.rounding_mode != "trunc" or is_float(context.dtype):
        quotient = context.emit(relax.op.divide(left, right))
        return quotient if args.rounding_mode is None else relax.op.trunc(quotient)
    # Relax's integer `divide` truncates toward zero, as C does.
    return relax.op.divide(left, right)


@converter("floor_divide.default", "floor_divide.Scalar")
def floor_divide(context: Context, args: Arguments) -> relax.Expr:
    """`floor(self / other)`."""
    return _floor_divide(context, *_operands(context, args))


def _floor_divide(context: Context, left: relax.Expr, right: relax.Expr) -> relax.Expr:
    if is_float(context.dtype):
        return relax.op.floor(context.emit(relax.op.divide(left, right)))
    return relax.op.floor_divide(left, right)


@converter("remainder.Tensor", "remainder.Scalar")
def remainder(context: Context, args: Arguments) -> relax.Expr:
    """The remainder with the sign of the divisor."""
    return relax.op.floor_mod(*_operands(context, args))


@converter("fmod.Tensor", "fmod.Scalar")
def truncated_remainder(context: Context, args: Arguments) -> relax.Expr:
    """The remainder with the sign of the dividend."""
    left, right = _operands(context, args)
    if not is_float(context.dtype):
        return relax.op.mod(left, right)
    whole = relax.op.trunc(relax.op.divide(left, right))
    return relax.op.subtract(left, context.emit(relax.op.multiply(whole, right)))


@converter("pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar")
def power(context: Context, args: Arguments) -> relax.Expr:
    """`self ** exponent`; small whole exponents become products, which are exact for integers and negative bases."""
    base, exponent = args.self, args.exponent
    if isinstance(exponent, int | float) and float(exponent).is_integer() and 0 <= exponent <= 4:
        base = context.tensor(base, context.dtype)
        if exponent == 0:
            return relax.op.ones_like(base)
        result = base
        for _ in range(int(exponent) - 1):
            result = context.emit(relax.op.multiply(result, base))
        return result
    if exponent == 0.5:
        return relax.op.sqrt(context.tensor(base, context.dtype))
    if exponent == -0.5:
        return relax.op.rsqrt(context.tensor(base, context.dtype))
    if not is_float(context.dtype):
        raise context.refuse("an integer power with this exponent", "raise a float tensor instead")
    return relax.op.power(context.tensor(base, context.dtype), context.tensor(exponent, context.dtype))


@converter("maximum.default")
def maximum(context: Context, args: Arguments) -> relax.Expr:
    """Elementwise maximum."""
    return relax.op.maximum(*_operands(context, args))


@converter("minimum.default")
def minimum(context: Context, args: Arguments) -> relax.Expr:
    """Elementwise minimum."""
    return relax.op.minimum(*_operands(context, args))


@converter("fmax.default", "fmin.default")
def extremum_of_numbers(context: Context, args: Arguments) -> relax.Expr:
    """Elementwise maximum or minimum; where one operand is NaN, the other."""
    left, right = _operands(context, args)
    name = args.node.target.__name__.removesuffix(".default")
    chosen = {"fmax": relax.op.maximum, "fmin": relax.op.minimum}[name](left, right)
    if not is_float(context.dtype):
        return chosen
    chosen = context.emit(relax.op.where(relax.op.isnan(left), right, chosen))
    return relax.op.where(relax.op.isnan(right), left, chosen)


@converter("atan2.default")
def atan2(context: Context, args: Arguments) -> relax.Expr:
    """The angle of the point (other, self)."""
    left, right = _operands(context, args)
    return context.narrow(relax.op.atan2(context.wide(left), context.wide(right)))


@converter(
    "clamp.default", "clamp.Tensor", "clamp_min.default", "clamp_min.Tensor", "clamp_max.default", "clamp_max.Tensor"
)
def clamp(context: Context, args: Arguments) -> relax.Expr:
    """`min(max(self, min), max)`, either bound optional, each a number or a tensor."""
    value = context.tensor(args.self, context.dtype)
    low, high = args.get("min"), args.get("max")
    numbers = [bound for bound in (low, high) if isinstance(bound, int | float)]
    if len(numbers) == 2 and is_float(context.dtype) and low <= high:
        return relax.op.clip(value, float(low), float(high))
    if low is not None and low != -math.inf:
        value = context.emit(relax.op.maximum(value, context.tensor(low, context.dtype)))
    if high is not None and high != math.inf:
        value = context.emit(relax.op.minimum(value, context.tensor(high, context.dtype)))
    return value


def _float_unary(operator: Callable[[relax.Expr], relax.Expr]) -> Callable[[Context, Arguments], relax.Expr]:
    """A function of floats, half precision in float32; integers and booleans are converted first, as PyTorch does."""

    def convert(context: Context, args: Arguments) -> relax.Expr:
        return context.narrow(operator(context.wide(context.tensor(args.self, context.dtype))))

    return convert


for _name in [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "erf",
    "exp",
    "log",
    "rsqrt",
    "sigmoid",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
]:
    converter(f"{_name}.default")(_float_unary(getattr(relax.op, _name)))


def _rounding(operator: Callable[[relax.Expr], relax.Expr]) -> Callable[[Context, Arguments], relax.Expr]:
    """A rounding function, which leaves integers as they are."""

    def convert(context: Context, args: Arguments) -> relax.Expr:
        return operator(args.self) if is_float(dtype_of(args.self)) else args.self

    return convert


for _name in ("ceil", "floor", "round", "trunc"):
    converter(f"{_name}.default")(_rounding(getattr(relax.op, _name)))


@converter("reciprocal.default")
def reciprocal(context: Context, args: Arguments) -> relax.Expr:
    """`1 / self`."""
    return relax.op.divide(context.tensor(1, context.dtype), context.tensor(args.self, context.dtype))


def _logarithm(scale: float, shift: int = 0) -> Callable[[Context, Arguments], relax.Expr]:
    def convert(context: Context, args: Arguments) -> relax.Expr:
        value = context.tensor(args.self, context.dtype)
        value = relax.op.add(value, context.tensor(shift, context.dtype)) if shift else value
        logarithm = relax.op.log(value)
        return logarithm if scale == 1 else relax.op.multiply(logarithm, context.tensor(scale, context.dtype))

    return convert


converter("log2.default")(_logarithm(1 / math.log(2)))
converter("log10.default")(_logarithm(1 / math.log(10)))
converter("log1p.default")(_logarithm(1, shift=1))


@converter("expm1.default")
def expm1(context: Context, args: Arguments) -> relax.Expr:
    """`exp(self) - 1`."""
    exponential = relax.op.exp(context.tensor(args.self, context.dtype))
    return relax.op.subtract(exponential, context.tensor(1, context.dtype))


@converter("exp2.default")
def exp2(context: Context, args: Arguments) -> relax.Expr:
    """`2 ** self`."""
    scaled = relax.op.multiply(context.tensor(args.self, context.dtype), context.tensor(math.log(2), context.dtype))
    return relax.op.exp(scaled)


@converter("sign.default", "sgn.default")
def sign(context: Context, args: Arguments) -> relax.Expr:
    """-1, 0 or 1."""
    if context.dtype == "bool":
        return args.self
    return relax.op.sign(args.self)


@converter("neg.default")
def negative(context: Context, args: Arguments) -> relax.Expr:
    """`-self`."""
    return relax.op.negative(args.self)


@converter("abs.default")
def absolute(context: Context, args: Arguments) -> relax.Expr:
    """`|self|`."""
    return args.self if dtype_of(args.self).startswith("uint") else relax.op.abs(args.self)
