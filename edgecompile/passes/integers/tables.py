"""Elementwise operators between one dequantize and one quantize, whatever their graph: a table of 256 answers."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from edgecompile.integer import operators
from edgecompile.integer.elementwise import ELEMENTWISE, argument_of, evaluate
from edgecompile.passes.integers.graph import Graph
from edgecompile.passes.integers.output import Output

_PLACES = ("reshape", "flatten", "nn.batch_flatten", "squeeze", "expand_dims", "permute_dims")  # of every number


def looked_up(output: Output, graph: Graph) -> relax.Expr | None:
    """A function of one dequantized number -> a table of its 256 answers, computed now as TVM computes them.

        quantize(x * clip(x / 6 + 0.5, 0, 1)), x = dequantize(q)   ->   edgecompile.lookup(q, table)

    Where the function is no number, the table holds the lowest level, as `quantize` does. Where it answers what it is
    asked, q itself is the result. Movements in front of the function and behind it become those of its answers, so that
    the table may join the kernel that makes q.
    """

    def call_of(value: relax.Expr) -> relax.Call | None:
        return graph.call(value, *ELEMENTWISE)

    function, after = _before_movements(output.data, graph)
    argument = argument_of(function, call_of)
    if argument is None or argument.same_as(function):
        return None
    origin, before = _before_movements(argument, graph)
    x = graph.quantized(origin)
    if x is None or not x.is_per_tensor or isinstance(x.value, tvm.ir.GenericConst):
        return None
    levels = np.arange(-128, 128)
    steps = levels.astype(np.float32) - np.float32(x.zero_point)
    real = evaluate(function, argument, call_of, (steps * np.float32(x.scale)).astype(np.float32))
    table = output.quantized(np.where(np.isnan(real), -np.inf, real))
    found = x.value if np.array_equal(table, levels) else operators.lookup(x.value, table)
    for call in reversed([*after, *before]):
        whole = found if isinstance(found, relax.Var) else graph.emit(found, f"{output.data.name}_levels")
        found = relax.Call(call.op, [whole, *(graph.renewed(argument) for argument in call.args[1:])], call.attrs)
    return found


def _before_movements(value: relax.Expr, graph: Graph) -> tuple[relax.Expr, list[relax.Call]]:
    """What a tensor was before it was reshaped and permuted, and those calls, the last one first."""
    movements: list[relax.Call] = []
    while (call := graph.call(graph.before_conversions(value), *_PLACES)) is not None:
        movements.append(call)
        value = call.args[0]
    return value, movements
