"""Sums and products, element by element, of two quantized tensors; one may broadcast to the other."""

from __future__ import annotations

import dataclasses

import numpy as np
import tvm
from tvm import relax

from edgecompile.integer import FixedPoint, operators
from edgecompile.integer.requantization import MULTIPLIER_BITS, SCALE_LIMIT
from edgecompile.passes.integers.graph import Graph
from edgecompile.passes.integers.output import Output
from edgecompile.passes.integers.quantized import Quantized


def added(output: Output, graph: Graph) -> relax.Expr | None:
    """`quantize(a + b)` of two dequantized tensors."""
    call = graph.call(output.data, "add", "subtract")
    pair = _operands(call, graph) if call is not None else None
    if call is None or pair is None:
        return None
    a, b = pair
    factors = np.array([float(a.scale), float(b.scale)]) / output.scale
    shift = MULTIPLIER_BITS - int(np.frexp(factors.max())[1])
    multipliers = np.rint(factors * 2.0**shift)
    if multipliers.max() >= 2**MULTIPLIER_BITS:  # rounded up to the next power of two
        shift -= 1
        multipliers = np.rint(factors * 2.0**shift)
    if not 1 <= shift <= 30:
        return None
    first, second = (int(number) for number in multipliers)
    return operators.add(
        a.value,
        b.value,
        multipliers=(first, second if call.op.name == "relax.add" else -second),
        shift=shift,
        zero_points=(a.zero_point, b.zero_point),
        zero_point=output.zero_point,
        low=output.low,
        high=output.high,
    )


def multiplied(output: Output, graph: Graph) -> relax.Expr | None:
    """`quantize(a * b)` of two dequantized tensors."""
    call = graph.call(output.data, "multiply")
    pair = _operands(call, graph) if call is not None else None
    if pair is None:
        return None
    a, b = pair
    factor = float(a.scale) * float(b.scale) / output.scale
    if not factor < SCALE_LIMIT:
        return None
    return operators.multiply(
        a.value,
        b.value,
        FixedPoint.of(factor),
        zero_points=(a.zero_point, b.zero_point),
        zero_point=output.zero_point,
        low=output.low,
        high=output.high,
    )


def _operands(call: relax.Call, graph: Graph) -> tuple[Quantized, Quantized] | None:
    """Both int8 with one scale each; None where they are not."""
    a, b = (graph.quantized(argument) for argument in call.args)
    if a is None or b is None or not (a.is_per_tensor and b.is_per_tensor):
        return None
    a, b = _within_bytes(a), _within_bytes(b)
    if any(str(operand.value.ty.dtype) != "int8" for operand in (a, b)):
        return None
    return a, b


def _within_bytes(operand: Quantized) -> Quantized:
    """A constant of int16 as int8 with a zero point, where its levels are few enough; all else as it is."""
    if not isinstance(operand.value, tvm.ir.GenericConst) or str(operand.value.ty.dtype) == "int8":
        return operand
    levels = operand.value.value.numpy().astype(np.int32)
    if int(levels.max()) - int(levels.min()) > 255:
        return operand
    zero_point = -128 - int(levels.min())
    return dataclasses.replace(
        operand, value=relax.const((levels + zero_point).astype(np.int8), "int8"), zero_point=zero_point
    )
