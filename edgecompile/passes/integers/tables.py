"""Elementwise operators between one dequantize and one quantize, whatever their graph: a table of 256 answers."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from edgecompile.integer import operators
from edgecompile.integer.elementwise import ELEMENTWISE, argument_of, evaluate
from edgecompile.passes.integers.graph import Graph
from edgecompile.passes.integers.output import Output


def looked_up(output: Output, graph: Graph) -> relax.Expr | None:
    """A function of one dequantized number -> a table of its 256 answers, computed now as TVM computes them.

        quantize(x * clip(x / 6 + 0.5, 0, 1)), x = dequantize(q)   ->   edgecompile.lookup(q, table)

    Where the function is no number, the table holds the lowest level, as `quantize` does.
    """

    def call_of(value: relax.Expr) -> relax.Call | None:
        return graph.call(value, *ELEMENTWISE)

    argument = argument_of(output.data, call_of)
    if argument is None or argument.same_as(output.data):
        return None
    x = graph.quantized(argument)
    if x is None or not x.is_per_tensor or isinstance(x.value, tvm.ir.GenericConst):
        return None
    steps = np.arange(-128, 128, dtype=np.float32) - np.float32(x.zero_point)
    real = evaluate(output.data, argument, call_of, (steps * np.float32(x.scale)).astype(np.float32))
    return operators.lookup(x.value, output.quantized(np.where(np.isnan(real), -np.inf, real)))
