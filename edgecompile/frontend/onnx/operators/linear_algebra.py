"""Det."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import te

from edgecompile.frontend.onnx.context import Context, Inputs, Result
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator

MAX_ORDER = 5
"""The expansion has as many products as the factorial of the order."""


@operator("Det")
def det(context: Context, node: Node, inputs: Inputs) -> Result:
    """[.., N, N] -> [..], expanded along the first row."""
    *lead, rows, columns = context.require_static(node, inputs[0])
    if rows != columns or not 1 <= rows <= MAX_ORDER:
        raise node.unsupported(f"square matrices of order 1 to {MAX_ORDER} can be compiled, found {rows} by {columns}")

    def compute(x: te.Tensor) -> te.Tensor:
        return te.compute(tuple(lead), lambda *i: _expand(x, i, 0, list(range(rows))), name="determinant")

    return context.emit_te(compute, inputs[0], name="determinant")


def _expand(x: te.Tensor, prefix: Sequence[Any], row: int, columns: list[int]) -> Any:
    """The determinant of the rows from `row` on in `columns`."""
    if len(columns) == 1:
        return x(*prefix, row, columns[0])
    total: Any = None
    for place, column in enumerate(columns):
        minor = _expand(x, prefix, row + 1, columns[:place] + columns[place + 1 :])
        term = x(*prefix, row, column) * minor
        total = term if total is None else total + term if place % 2 == 0 else total - term
    return total
