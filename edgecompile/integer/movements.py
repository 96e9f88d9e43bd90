"""The operators that move integers as they would move the real numbers: scale and zero point stay.

They put numbers elsewhere, repeat them, choose among them, or put a number between them that the integers can express.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tvm import relax

MOVEMENTS = frozenset(
    (
        *("reshape", "flatten", "nn.batch_flatten", "squeeze", "expand_dims", "permute_dims"),
        *("strided_slice", "split", "take", "gather_elements", "flip", "broadcast_to", "repeat", "tile"),
        *("max", "min", "nn.max_pool2d"),
        *("nn.pad", "image.resize2d"),  # some of them: see `is_movement`
    )
)
"""Relax operators; the first argument is what they move. `split` answers a tuple."""


def is_movement(call: relax.Call) -> bool:
    """True where a call moves integers whatever their scale is: zero is always among them."""
    match call.op.name.removeprefix("relax."):
        case "nn.pad":
            return str(call.attrs.pad_mode) != "constant" or float(call.attrs.pad_value) == 0
        case "image.resize2d":
            return _takes_nearest(call)
        case name:
            return name in MOVEMENTS


def moved(call: relax.Call, arguments: Sequence[relax.Expr], scale: float, zero_point: int) -> relax.Call | None:
    """The same movement of integers in steps of `scale`; None where they cannot express its result.

    Args:
        call: of one of `MOVEMENTS`, of real numbers.
        arguments: the integers, and the other arguments of the call.
    """
    name = call.op.name.removeprefix("relax.")
    if name == "image.resize2d" and not _takes_nearest(call):
        return None
    if name == "nn.pad" and str(call.attrs.pad_mode) == "constant":
        steps = float(call.attrs.pad_value) / scale
        padding = round(steps) + zero_point if np.isfinite(steps) else 128
        if not -128 <= padding <= 127 or abs(steps - round(steps)) > 1e-4:
            return None
        return relax.op.nn.pad(arguments[0], [int(width) for width in call.attrs.pad_width], "constant", padding)
    return relax.Call(call.op, list(arguments), call.attrs)


def _takes_nearest(call: relax.Call) -> bool:
    attributes = call.attrs
    is_plain = str(attributes.layout) == "NCHW" and str(attributes.out_dtype or "float32") in ("float32", "void", "")
    return is_plain and str(attributes.method) == "nearest_neighbor"
