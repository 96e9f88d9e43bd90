"""Products of 16-bit activations and 8-bit weights, as two products of bytes."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from edgecompile.layers import sums_name
from edgecompile.passes.integers.graph import Graph
from edgecompile.passes.integers.products import find_product, integer_product
from edgecompile.passes.integers.quantized import Quantized
from edgecompile.passes.integers.steps_of_bias import fit_steps_of_bias

_BYTE = 256


def word_product(value: relax.Var, graph: Graph) -> relax.Expr | None:
    """A product of int16 and int8, with its bias -> exact integer sums of the upper and the lower bytes, then float.

        x = 256 * high + low        ->        (256 * float(high @ w + b) + float(low @ w + b')) * scale

    Both sums are of bytes, so they stay within 32 bits where those of words would not. The product by 256 is exact, so
    it is the same contracted with the sum or not; what follows stays a float operator.
    """
    found = find_product(value, graph)
    words = graph.quantized_words(found.call.args[0]) if found is not None else None
    weight = graph.quantized(found.call.args[1]) if found is not None and words is not None else None
    if found is None or words is None or weight is None or not isinstance(weight.value, tvm.ir.GenericConst):
        return None
    is_convolution = found.call.op.name == "relax.nn.conv2d"
    channel_axis = 0 if is_convolution else len(found.call.args[1].ty.shape.values) - 1
    weight = fit_steps_of_bias(weight, channel_axis, _BYTE * words.scale, found.bias)
    rest = None if found.bias is None else _rest(found.bias, _BYTE * words.scale * weight.scale, is_convolution)
    high = Quantized(words.high, np.array(_BYTE * words.scale), 0, 0)
    low = Quantized(words.low, np.array(words.scale), -_BYTE // 2, 0)
    upper = integer_product(found, high, weight, graph)
    lower = integer_product(found._replace(bias=rest), low, weight, graph)
    if upper is None or lower is None:
        return None
    parts = [
        graph.emit(relax.op.astype(graph.emit(half.sums, name), "float32"), f"{name}_real")
        for half, name in ((upper, f"{found.layer}_upper"), (lower, sums_name(found.layer)))
    ]
    shifted = graph.emit(relax.op.multiply(parts[0], relax.const(_BYTE, "float32")), f"{found.layer}_shifted")
    total = graph.emit(relax.op.add(shifted, parts[1]), f"{found.layer}_total")
    rank = len(value.ty.shape.values)
    shape = [-1 if position == lower.axis else 1 for position in range(rank)] if lower.scale.ndim else []
    return relax.op.multiply(total, relax.const(lower.scale.astype(np.float32).reshape(shape), "float32"))


def _rest(bias: np.ndarray, step: np.ndarray, is_convolution: bool) -> np.ndarray:
    """What whole steps leave of a bias, of its shape."""
    along = step.reshape(-1, 1, 1) if is_convolution and step.ndim else step
    return np.asarray(bias - np.rint(bias / along) * along)
