"""Operators of two and more operands, with broadcasting."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tests.fuzz.builder import MOST_ELEMENTS, GraphBuilder, like
from tests.fuzz.operators.operator import Operator
from tests.fuzz.operators.unary import into_range
from tests.fuzz.values import FLOATS, Value, rounding


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


OPERATORS = (
    *(Operator(name, arithmetic(name)) for name in ("Add", "Sub", "Mul")),
    *(Operator(name, variadic(name)) for name in ("Max", "Min", "Sum", "Mean")),
    *(Operator(name, compare(name)) for name in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")),
    *(Operator(name, logic(name)) for name in ("And", "Or", "Xor")),
    *(Operator(name, bitwise(name), 18) for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")),
    Operator("Div", divide),
    Operator("Pow", power),
    Operator("Mod", modulo),
    Operator("Where", select),
    Operator("PRelu", prelu),
)
