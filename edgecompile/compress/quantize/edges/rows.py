"""Which softmax and layer normalizations can compute in integers alone, and why the others stay float."""

from __future__ import annotations

import tvm
from tvm import relax

from edgecompile.compress.graph.uses import Uses
from edgecompile.compress.quantize.edges.kernel import source_of
from edgecompile.compress.quantize.edges.request import Reason, Request
from edgecompile.compress.quantize.quantizable import ROW_OPERATORS


def integer_rows(uses: Uses, request: Request, reasons: list[Reason]) -> list[relax.Var]:
    """Those that the request names and that can be int8, in order; `reasons` receives one for each that it names."""
    found = []
    for variable in uses.variables:
        if variable.name not in request.integer or uses.operator(variable) not in ROW_OPERATORS:
            continue
        why_float = _why_float(uses, request, variable)
        reasons.append(Reason(variable.name, not why_float, why_float or "int8, integer arithmetic alone"))
        if not why_float:
            found.append(variable)
    return found


def _why_float(uses: Uses, request: Request, variable: relax.Var) -> str:
    """Why an operator along rows stays float; "" where it does not."""
    call = uses.known_call(variable)
    x, *tables = call.args
    rank = len(call.ty.shape.values)
    axes = [call.attrs.axis] if uses.operator(variable) == "nn.softmax" else list(call.attrs.axes)
    if [int(axis) % rank for axis in axes] != [rank - 1]:
        return "integer arithmetic is for the last axis"
    if not isinstance(x, relax.Var) or not all(isinstance(table, tvm.ir.GenericConst) for table in tables):
        return "it reads other than one tensor and constants"
    if not all(isinstance(extent, tvm.tirx.IntImm) for extent in call.ty.shape.values):
        return "integer arithmetic is for shapes that are known at compile time"
    missing = [found for found in (source_of(uses, x).name, variable.name) if found not in request.ranges]
    return f"the table has no range for {missing[0]}" if missing else ""
