"""Unary operators: smooth functions, selections that keep bits, jumps, casts, tests for NaN."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.fuzz.builder import ONNX_TYPE, GraphBuilder, like
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


def negate(graph: GraphBuilder) -> None:
    value = graph.pick(("bool",))
    graph.node("Not", [value], [like(value)])


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


OPERATORS = (
    *(Operator(name, smooth(name), {"HardSwish": 14, "Mish": 18, "Gelu": 20}.get(name, 0)) for name in SMOOTH),
    *(Operator(name, piecewise(name)) for name in PIECEWISE),
    *(Operator(name, jump(name)) for name in JUMPS),
    Operator("Clip", clip),
    Operator("Not", negate),
    Operator("ThresholdedRelu", threshold),
    Operator("Cast", cast),
)
