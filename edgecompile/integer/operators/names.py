"""The names of the integer operators, and what can be read off their calls."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

CONV2D = "edgecompile.conv2d"
MATMUL = "edgecompile.matmul"
REQUANTIZE = "edgecompile.requantize"
ADD = "edgecompile.add"
MULTIPLY = "edgecompile.multiply"
RESAMPLE = "edgecompile.resample"
LOOKUP = "edgecompile.lookup"
QUANTIZE_ROWS = "edgecompile.quantize_rows"
SOFTMAX = "edgecompile.softmax"
LAYER_NORM = "edgecompile.layer_norm"


def attributes(call: relax.Call) -> dict[str, Any]:
    """The attributes of a call of one of the operators, as Python numbers, tuples and strings."""
    return {str(name): _plain(value) for name, value in call.attrs.items()}


def shape_of(value: relax.Expr) -> tuple[int, ...]:
    """Of a static tensor."""
    return tuple(int(extent) for extent in value.ty.shape.values)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, tvm.tirx.IntImm):
        return int(value)
    return tuple(_plain(item) for item in value)
