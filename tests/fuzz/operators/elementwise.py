"""Elementwise operators: unary, binary, variadic, comparisons, logic, casts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.fuzz.builder import MOST_ELEMENTS, GraphBuilder, like
from tests.fuzz.operators.operator import Operator
from tests.fuzz.values import FLOATS, INTEGERS, Value, rounding

# Vendors approximate transcendental functions to a few units in the last place of the *largest* result.
APPROXIMATION_TERMS = 16
Interval = tuple[float, float]


@dataclass(frozen=True)
class Unary:
    """A smooth function: where it is used, what it answers there, and its steepest slope there.

    Attributes:
        interval: the operator's results for operands in [low, high].
        slope: the largest derivative in [low, high].
        low, high: operands are brought into this range first.
    """

    interval: Callable[[float, float], Interval]
    slope: Callable[[float, float], float]
    low: float = -math.inf
    high: float = math.inf


def _monotone(function: Callable[[float], float]) -> Callable[[float, float], Interval]:
    return lambda low, high: (function(low), function(high))


def _constant(*interval: float) -> Callable[[float, float], Interval]:
    return lambda low, high: (interval[0], interval[1])


def _slope(number: float) -> Callable[[float, float], float]:
    return lambda low, high: number


SMOOTH = {
    "Sigmoid": Unary(_constant(0, 1), _slope(0.25)),
    "Tanh": Unary(_constant(-1, 1), _slope(1)),
    "Softsign": Unary(_constant(-1, 1), _slope(1)),
    "Softplus": Unary(lambda low, high: (0, max(high, 0) + 1), _slope(1), -30, 30),
    "Mish": Unary(lambda low, high: (-1, max(high, 0)), _slope(1.2), -30, 30),
    "HardSwish": Unary(lambda low, high: (-1, max(high, 0)), _slope(1.5)),
    "Gelu": Unary(lambda low, high: (-1, max(high, 0)), _slope(1.2)),
    "Erf": Unary(_constant(-1, 1), _slope(1.2)),
    "Exp": Unary(_monotone(math.exp), lambda low, high: math.exp(high), -8, 4),
    "Log": Unary(_monotone(math.log), lambda low, high: 1 / low, 0.25, 200),
    "Sqrt": Unary(_monotone(math.sqrt), lambda low, high: 0.5 / math.sqrt(low), 0.25, 200),
    "Reciprocal": Unary(lambda low, high: (1 / high, 1 / low), lambda low, high: 1 / low**2, 0.25, 200),
    "Sin": Unary(_constant(-1, 1), _slope(1), -30, 30),
    "Cos": Unary(_constant(-1, 1), _slope(1), -30, 30),
    "Tan": Unary(_monotone(math.tan), lambda low, high: 1 / math.cos(high) ** 2, -1, 1),
    "Asin": Unary(_monotone(math.asin), _slope(1.3), -0.5, 0.5),
    "Acos": Unary(lambda low, high: (math.acos(high), math.acos(low)), _slope(1.3), -0.5, 0.5),
    "Atan": Unary(_constant(-1.6, 1.6), _slope(1)),
    "Sinh": Unary(_monotone(math.sinh), lambda low, high: math.cosh(high), -3, 3),
    "Cosh": Unary(lambda low, high: (1, math.cosh(high)), lambda low, high: math.sinh(high), -3, 3),
    "Asinh": Unary(_monotone(math.asinh), _slope(1), -30, 30),
    "Acosh": Unary(_monotone(math.acosh), _slope(1), 1.5, 30),
    "Atanh": Unary(_monotone(math.atanh), _slope(1.4), -0.5, 0.5),
    "Elu": Unary(lambda low, high: (-2, max(high, 0)), _slope(2)),
    "Selu": Unary(lambda low, high: (-1.8, 1.06 * max(high, 0)), _slope(1.8)),
    "Celu": Unary(lambda low, high: (-2, max(high, 0)), _slope(1)),
    "HardSigmoid": Unary(_constant(0, 1), _slope(0.5)),
    "LeakyRelu": Unary(lambda low, high: (min(low, 0), max(high, 0)), _slope(1)),
}
# Data movement and selection: the results are operands, bit for bit.
PIECEWISE = {
    "Relu": lambda low, high: (max(low, 0), max(high, 0)),
    "Abs": lambda low, high: (0, max(abs(low), abs(high))),
    "Neg": lambda low, high: (-high, -low),
    "Identity": lambda low, high: (low, high),
}
JUMPS = ("Floor", "Ceil", "Round", "Sign")
# ONNX Runtime has these for other types too, or not at all.
MANY_TYPES = {"Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Reciprocal", "Sin", "Cos"}


def into_range(graph: GraphBuilder, value: Value, low: float, high: float) -> Value:
    """The value itself where it lies in [low, high], else a clipped one."""
    if value.low >= low and value.high <= high:
        return value
    low = max(low, -65000.0) if math.isinf(low) else low
    bounds = [graph.constant(np.asarray(bound, value.dtype), bound, bound) for bound in (low, min(high, 65000.0))]
    # The clip changes nothing about the error: it never makes two numbers differ more.
    out = like(value, low=min(max(value.low, low), high), high=max(min(value.high, high), low))
    return graph.node("Clip", [value, *bounds], [out])[0]


def smooth(op_type: str) -> Callable[[GraphBuilder], None]:
    facts = SMOOTH[op_type]

    def build(graph: GraphBuilder) -> None:
        dtypes = () if op_type in MANY_TYPES else ("float32",)
        value = into_range(graph, graph.pick(dtypes), facts.low, facts.high)
        low, high = facts.interval(value.low, value.high)
        out = like(value, low=low, high=high)
        terms = 1 if op_type in ("LeakyRelu", "HardSigmoid", "HardSwish", "Sqrt") else APPROXIMATION_TERMS
        scale = max(out.magnitude, value.magnitude if op_type in ("HardSwish", "Mish", "Gelu", "Elu", "Selu") else 0)
        error = facts.slope(value.low, value.high) * value.error + rounding(value.dtype, scale, terms)
        attributes: dict[str, object] = {}
        if op_type in ("Elu", "Celu", "LeakyRelu") and graph.flag():
            attributes["alpha"] = graph.choose([0.5, 1.0, 0.25])
        if op_type == "HardSigmoid" and graph.flag():
            attributes |= {"alpha": 0.5, "beta": 0.25}
        if op_type == "Gelu" and graph.flag():
            attributes["approximate"] = graph.choose(["none", "tanh"])
        graph.node(op_type, [value], [like(out, error=error)], **attributes)

    return build


def piecewise(op_type: str) -> Callable[[GraphBuilder], None]:
    def build(graph: GraphBuilder) -> None:
        dtypes = {"Relu": FLOATS, "Identity": (*FLOATS, *INTEGERS, "bool")}.get(op_type, (*FLOATS, "int32", "int64"))
        value = graph.pick(dtypes)
        low, high = PIECEWISE[op_type](value.low, value.high)
        graph.node(op_type, [value], [like(value, low=low, high=high)])

    return build


def jump(op_type: str) -> Callable[[GraphBuilder], None]:
    def build(graph: GraphBuilder) -> None:
        value = graph.pick(("float32", "float64") if op_type != "Sign" else ("float32", "int32", "int64"), exact=True)
        bounds = (-1, 1) if op_type == "Sign" else (math.floor(value.low), math.ceil(value.high))
        graph.node(op_type, [value], [like(value, low=bounds[0], high=bounds[1])])

    return build


def clip(graph: GraphBuilder) -> None:
    """Bounds as inputs; either may be left out, either may be given at run time."""
    value = graph.pick((*FLOATS, "int32", "int64", "int8", "uint8"))
    low, high = sorted(int(x) for x in graph.random.integers(-3, 4, size=2))
    low, high = (low + 3, high + 3) if value.dtype == "uint8" else (low, high)
    bounds: list[Value | None] = [
        graph.parameter((), value.dtype, low, low),
        graph.parameter((), value.dtype, high, high),
    ]
    which = graph.integer(0, 2)
    if which:
        bounds[which - 1] = None
    result = like(
        value,
        low=max(value.low, low) if bounds[0] else min(value.low, high),
        high=min(value.high, high) if bounds[1] else max(value.high, low),
    )
    if result.low > result.high:
        result = like(value, low=min(result.low, result.high), high=max(result.low, result.high))
    graph.node("Clip", [value, *bounds], [result])


def partner(graph: GraphBuilder, value: Value, exact: bool = False, **bounds: float) -> Value:
    """A second operand whose shape broadcasts with the first's; of higher rank now and then."""
    if not bounds and graph.flag():
        return graph.pick(
            (value.dtype,),
            exact=exact,
            fits=lambda other: broadcast(value.shape, other.shape) is not None,
            adapt=lambda shape: value.shape,
        )
    shape = tuple(1 if graph.integer(0, 3) == 3 else dim for dim in value.shape)
    shape = shape[graph.integer(0, len(shape)) :]
    if len(shape) == value.rank and value.rank < 5 and not graph.integer(0, 5):
        shape = (graph.choices.dimension(), *shape)
        if math.prod(shape) > MOST_ELEMENTS:
            shape = shape[1:]
    return graph.parameter(shape, value.dtype, **bounds)


def broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """The common shape, or None where there is none of a reasonable size."""
    try:
        shape = np.broadcast_shapes(a, b)
    except ValueError:
        return None
    return shape if math.prod(shape) <= 2 * MOST_ELEMENTS else None


def _pair(
    graph: GraphBuilder, dtypes: tuple[str, ...], exact: bool = False, magnitude: float = math.inf
) -> tuple[Value, Value, tuple[int, ...]]:
    a = graph.pick(dtypes, exact=exact, magnitude=magnitude)
    b = partner(graph, a, exact)
    shape = broadcast(a.shape, b.shape)
    if shape is None:
        b = graph.weight((), a.dtype)
        shape = a.shape
    return (b, a, shape) if graph.flag() else (a, b, shape)


def arithmetic(op_type: str) -> Callable[[GraphBuilder], None]:
    def build(graph: GraphBuilder) -> None:
        a, b, shape = _pair(graph, (*FLOATS, "int32", "int64"))
        if op_type == "Mul":
            corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
            error = a.magnitude * b.error + b.magnitude * a.error
        else:
            sign = -1 if op_type == "Sub" else 1
            corners = [x + sign * y for x in (a.low, a.high) for y in (b.low, b.high)]
            error = a.error + b.error
        out = Value("", shape, a.dtype, min(corners), max(corners))
        graph.node(op_type, [a, b], [like(out, error=error + rounding(a.dtype, out.magnitude))])

    return build


def divide(graph: GraphBuilder) -> None:
    """Divisors stay away from zero; integers divide towards zero, negative ones too."""
    a = graph.pick((*FLOATS, "int32", "int64"))
    low, high = (0.5, 2.0) if a.dtype in FLOATS else (1, 7)
    b = partner(graph, a, low=low, high=high)
    shape = broadcast(a.shape, b.shape)
    if shape is None:
        b, shape = graph.weight((), a.dtype, low, high), a.shape
    bound = a.magnitude / low
    error = a.error / low + rounding(a.dtype, bound)
    graph.node("Div", [a, b], [Value("", shape, a.dtype, -bound, bound, error)])


def power(graph: GraphBuilder) -> None:
    base = into_range(graph, graph.pick(("float32",)), 0.5, 4.0)
    exponent = graph.choose([2.0, 0.5, 3.0, -1.0, 1.5])
    dtype = graph.choose(["float32", "int32", "int64"]) if exponent == int(exponent) else "float32"
    power = graph.constant(np.asarray(exponent, dtype), exponent, exponent)
    results = [base.low**exponent, base.high**exponent]
    slope = max(abs(exponent) * x ** (exponent - 1) for x in (base.low, base.high))
    out = like(base, low=min(results), high=max(results))
    graph.node("Pow", [base, power], [like(out, error=slope * base.error + rounding("float32", out.magnitude, 64))])


def modulo(graph: GraphBuilder) -> None:
    """`fmod=0` takes the divisor's sign, `fmod=1` the dividend's."""
    a = graph.pick(("int32", "int64", "float32"), exact=True)
    if a.dtype == "float32":
        b = graph.weight((), a.dtype, 0.5, 2.0)
    else:
        low = graph.choose([1, -7])
        b = partner(graph, a, low=low, high=low + 6)
        if broadcast(a.shape, b.shape) is None:
            b = graph.weight((), a.dtype, low, low + 6)
    shape = broadcast(a.shape, b.shape)
    assert shape is not None
    fmod = 1 if a.dtype == "float32" else graph.integer(0, 1)
    graph.node("Mod", [a, b], [Value("", shape, a.dtype, -7, 7)], fmod=fmod)


def variadic(op_type: str) -> Callable[[GraphBuilder], None]:
    def build(graph: GraphBuilder) -> None:
        dtypes = ("float32",) if op_type in ("Sum", "Mean") else (*FLOATS, "int32", "int64")
        a, b, shape = _pair(graph, dtypes)
        operands = [a, b]
        if graph.flag():
            operands.append(graph.weight((), a.dtype))
        if op_type in ("Max", "Min"):
            pick = max if op_type == "Max" else min
            low, high = pick(x.low for x in operands), pick(x.high for x in operands)
            error = max(x.error for x in operands)
        else:
            share = len(operands) if op_type == "Mean" else 1
            low, high = sum(x.low for x in operands) / share, sum(x.high for x in operands) / share
            total = sum(x.magnitude for x in operands)
            error = sum(x.error for x in operands) + rounding(a.dtype, total, len(operands))
        graph.node(op_type, operands, [Value("", shape, a.dtype, low, high, error)])

    return build


def compare(op_type: str) -> Callable[[GraphBuilder], None]:
    def build(graph: GraphBuilder) -> None:
        a, b, shape = _pair(graph, ("float32", "float64", "int32", "int64"), exact=True)
        graph.node(op_type, [a, b], [Value("", shape, "bool", 0, 1)])

    return build


def logic(op_type: str) -> Callable[[GraphBuilder], None]:
    def build(graph: GraphBuilder) -> None:
        a, b, shape = _pair(graph, ("bool",))
        graph.node(op_type, [a, b], [Value("", shape, "bool", 0, 1)])

    return build


def negate(graph: GraphBuilder) -> None:
    value = graph.pick(("bool",))
    graph.node("Not", [value], [like(value)])


def bitwise(op_type: str) -> Callable[[GraphBuilder], None]:
    def build(graph: GraphBuilder) -> None:
        a, b, shape = _pair(graph, ("int32", "int64", "uint8", "int8"))
        bound = 2 ** math.ceil(math.log2(max(a.magnitude, b.magnitude, 1) + 1))
        low, high = (0, 255) if a.dtype == "uint8" else (-bound, bound - 1)
        graph.node(op_type, [a, b], [Value("", shape, a.dtype, low, high)])

    return build


def select(graph: GraphBuilder) -> None:
    a, b, shape = _pair(graph, (*FLOATS, "int32", "int64", "uint8"))
    condition = graph.pick(
        ("bool",), fits=lambda value: broadcast(value.shape, shape) is not None, adapt=lambda _: shape
    )
    out_shape = broadcast(condition.shape, shape)
    assert out_shape is not None
    out = Value("", out_shape, a.dtype, min(a.low, b.low), max(a.high, b.high), max(a.error, b.error))
    graph.node("Where", [condition, a, b], [out])


def prelu(graph: GraphBuilder) -> None:
    """One slope, or one per channel."""
    value = graph.pick(("float32",))
    shape = (value.shape[1], *(1,) * (value.rank - 2)) if value.rank >= 2 and graph.flag() else (1,)
    if value.rank == 0:
        shape = ()
    slope = graph.parameter(shape, value.dtype, 0.0, 1.0)
    out = like(value, low=min(value.low, 0), high=max(value.high, 0))
    graph.node("PRelu", [value, slope], [like(out, error=value.error + rounding(value.dtype, value.magnitude))])


def threshold(graph: GraphBuilder) -> None:
    value = graph.pick(("float32",), exact=True)
    if graph.flag():
        out = like(value, low=min(value.low, 0.0), high=max(value.high, 0.0))
        graph.node("ThresholdedRelu", [value], [out], alpha=graph.choose([0.5, 1.0]))
    else:
        out = like(value, low=min(value.low, 0.0), high=max(value.high, 0.0))
        error = rounding("float32", value.magnitude)
        graph.node("Shrink", [value], [like(out, error=error)], lambd=0.5, bias=graph.choose([0.0, 0.25]))


def cast(graph: GraphBuilder) -> None:
    """Between all types; towards integers only from exact values that fit."""
    from tests.fuzz.builder import ONNX_TYPE

    value = graph.pick((*FLOATS, *INTEGERS, "bool"), exact=True)
    targets = [
        dtype
        for dtype in (*FLOATS, *INTEGERS, "bool")
        if dtype != value.dtype
        and not (dtype == "int8" and value.magnitude > 127)
        and not (dtype == "uint8" and (value.low < 0 or value.high > 255))
        and not (dtype == "float16" and value.magnitude > 1000)
        and not (dtype == "bool" and value.dtype == "float16")
    ]
    dtype = str(graph.choose(targets))
    low, high = (0, 1) if dtype == "bool" else (value.low, value.high)
    # To fewer bits: the nearest number, which is the same everywhere.
    graph.node("Cast", [value], [like(value, dtype=dtype, low=low, high=high)], to=ONNX_TYPE[dtype])


def not_a_number(graph: GraphBuilder) -> None:
    """On an input that holds NaN and infinities, which nothing else reads."""
    value = graph.input(graph.shape(), "float32")
    data = graph.inputs[value.name]
    flat = data.reshape(-1)
    flat[::3] = graph.choose([np.nan, np.inf, -np.inf])
    graph.values.remove(value)
    if graph.flag():
        graph.node("IsNaN", [value], [like(value, dtype="bool", low=0, high=1)])
    else:
        signs = graph.choose([{}, {"detect_negative": 0}, {"detect_positive": 0}])
        graph.node("IsInf", [value], [like(value, dtype="bool", low=0, high=1)], **signs)


OPERATORS = (
    *(Operator(name, smooth(name), {"HardSwish": 14, "Mish": 18, "Gelu": 20}.get(name, 0)) for name in SMOOTH),
    *(Operator(name, piecewise(name)) for name in PIECEWISE),
    *(Operator(name, jump(name)) for name in JUMPS),
    *(Operator(name, arithmetic(name)) for name in ("Add", "Sub", "Mul")),
    *(Operator(name, variadic(name)) for name in ("Max", "Min", "Sum", "Mean")),
    *(Operator(name, compare(name)) for name in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")),
    *(Operator(name, logic(name)) for name in ("And", "Or", "Xor")),
    *(Operator(name, bitwise(name), 18) for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")),
    Operator("Clip", clip),
    Operator("Div", divide),
    Operator("Pow", power),
    Operator("Mod", modulo),
    Operator("Not", negate),
    Operator("Where", select),
    Operator("PRelu", prelu),
    Operator("ThresholdedRelu", threshold),
    Operator("Cast", cast),
    Operator("IsNaN", not_a_number),
)
