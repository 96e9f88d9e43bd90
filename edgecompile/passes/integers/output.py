"""What stands at the end of a group: the parameters of its `quantize`, and the activation before it as bounds."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import tvm
import tvm_ffi
from tvm import relax

from edgecompile.integer import FixedPoint, operators
from edgecompile.integer.requantization import NARROW_LIMIT, SCALE_LIMIT
from edgecompile.passes.integers.graph import Graph
from edgecompile.passes.integers.quantized import Parameters, read_parameters

_LEAST, _MOST = -128, 127


@dataclass(frozen=True)
class Output:
    """The int8 result of a group of operators.

    Attributes:
        data: what is quantized, before the bounds, in the old `main`.
        parameters: per tensor.
        low, high: int8 bounds of the result.
        most: further int8 bounds, `[1, channels, 1, 1]` or the like; None where there are none.
    """

    data: relax.Expr
    parameters: Parameters
    low: int
    high: int
    most: np.ndarray | None = None

    @property
    def scale(self) -> float:
        """The real size of a step."""
        return float(self.parameters.scale)

    @property
    def zero_point(self) -> int:
        """Of the int8 values."""
        return self.parameters.signed_zero_point

    def requantized(
        self,
        value: relax.Expr,
        scale: np.ndarray | float,
        *,
        axis: int = 0,
        input_zero_point: int = 0,
        most: int | None = None,
    ) -> relax.Call | None:
        """The int8 result of integers in steps of `scale`; None where that is too coarse for fixed point.

        Args:
            value: int32, or int8 with a zero point.
            scale: float64 `[]`, or `[channels]` along `axis`.
            most: the largest magnitude of a value; None where it may be anything.
        """
        factor = np.asarray(scale, np.float64) / self.scale
        if not np.all(factor < SCALE_LIMIT):
            return None
        return operators.requantize(
            value,
            FixedPoint.of(factor),
            axis=axis,
            input_zero_point=input_zero_point,
            zero_point=self.zero_point,
            low=self.low,
            high=self.high,
            is_narrow=most is not None and most < NARROW_LIMIT,
        )

    def quantized(self, real: np.ndarray) -> np.ndarray:
        """int8 of real numbers as `quantize` makes them: float32 quotients rounded to nearest, halves to even."""
        steps = np.rint(real.astype(np.float32) / np.float32(self.scale)).astype(np.float64) + self.zero_point
        return np.clip(steps, self.low, self.high).astype(np.int8)

    def quantized_bounds(self, real: np.ndarray) -> np.ndarray:
        """int8 of upper bounds, whatever the other bounds are."""
        return dataclasses.replace(self, low=_LEAST, high=_MOST).quantized(real)


def read_output(call: relax.Call, graph: Graph) -> Output | None:
    """The end of a group at a call of quantize; None where it is not per tensor of 8 bits."""
    parameters = read_parameters(call, str(call.ty.dtype))
    if parameters is None or not parameters.is_usable or parameters.scale.ndim:
        return None
    bounded, bounds = _upper_bounds(call.args[0], graph)
    data, low, high = _bounds(bounded, graph)
    scale, zero_point = float(parameters.scale), parameters.signed_zero_point
    found = Output(data, parameters, _step(low, scale, zero_point), _step(high, scale, zero_point))
    return found if bounds is None else dataclasses.replace(found, most=found.quantized_bounds(bounds))


def _upper_bounds(data: relax.Expr, graph: Graph) -> tuple[relax.Expr, np.ndarray | None]:
    """Takes the last `minimum` with a constant off, as `_bounds` does."""
    call = graph.call(data, "minimum")
    if call is None or not graph.is_used_once(data) or not isinstance(call.args[1], tvm.ir.GenericConst):
        return data, None
    bounds = call.args[1].value.numpy()
    broadcasts = len(bounds.shape) == len(data.ty.shape.values) and np.isfinite(bounds).all()
    same = tvm_ffi.structural_equal(call.args[0].ty.shape, data.ty.shape)
    return (call.args[0], bounds) if broadcasts and same else (data, None)


def _bounds(data: relax.Expr, graph: Graph) -> tuple[relax.Expr, float, float]:
    """Takes relu and clip off: rounding is monotonic, so bounds may as well come after it."""
    low, high = -math.inf, math.inf
    while True:
        call = graph.call(data, "nn.relu", "nn.relu6", "clip")
        if call is None or not graph.is_used_once(data):
            return data, low, high
        least, most = _bounds_of(call)
        # An outer bound holds after an inner one.
        low, high = min(max(low, least), high), max(min(high, most), low)
        data = call.args[0]


def _bounds_of(call: relax.Call) -> tuple[float, float]:
    name = call.op.name
    if name == "relax.clip":
        return _number(call.args[1]), _number(call.args[2])
    return 0.0, 6.0 if name == "relax.nn.relu6" else math.inf


def _number(value: relax.Expr) -> float:
    """Of a bound of `clip`: a constant, or a prim value."""
    if isinstance(value, tvm.ir.GenericConst):
        return float(value.value.numpy())
    return float(getattr(value, "value", value))


def _step(real: float, scale: float, zero_point: int) -> int:
    if math.isinf(real):
        return _LEAST if real < 0 else _MOST
    return int(np.clip(float(np.rint(np.float32(real) / np.float32(scale))) + zero_point, _LEAST, _MOST))
