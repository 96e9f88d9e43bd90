"""The ways of operators that move pixels and leave channels where they are: `resize2d` and `pad`.

No template computes them; on plain and on blocked tensors they are priced alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from tvm import relax

from edgecompile.implementation import Implementations
from edgecompile.passes.layouts.tensor_shapes import image_shape
from edgecompile.passes.layouts.way import Way, plain_way

if TYPE_CHECKING:
    from edgecompile.passes.layouts.workshop import Workshop


def resize_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """Resizing height and width."""
    x, shape, plain = call.args[0], image_shape(call), plain_way(call)
    if shape is None or call.attrs.layout != "NCHW" or not isinstance(x, relax.Var) or image_shape(x) is None:
        return [plain]
    block = implementations.block(shape[1])
    return [Way({x: block}, block, 0.0, partial(_build_resize, call, block)), plain]


def pad_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """Padding with a number, of anything but channels."""
    x, shape, plain = call.args[0], image_shape(call), plain_way(call)
    if shape is None or not isinstance(x, relax.Var) or call.attrs.pad_mode != "constant":
        return [plain]
    if any(int(width) for width in call.attrs.pad_width[2:4]):
        return [plain]
    block = implementations.block(shape[1])
    return [Way({x: block}, block, 0.0, partial(_build_pad, call, block)), plain]


def _build_resize(call: relax.Call, block: int, workshop: Workshop) -> relax.Expr:
    attributes = call.attrs
    return relax.op.image.resize2d(
        workshop.read(call.args[0], block),
        call.args[1],
        tuple(float(edge) for edge in attributes.roi),
        f"NCHW{block}c",
        attributes.method,
        attributes.coordinate_transformation_mode,
        attributes.rounding_method,
        attributes.cubic_alpha,
        attributes.cubic_exclude,
        attributes.extrapolation_value,
        attributes.out_dtype,
    )


def _build_pad(call: relax.Call, block: int, workshop: Workshop) -> relax.Expr:
    widths = [*(int(width) for width in call.attrs.pad_width), 0, 0]
    return relax.op.nn.pad(workshop.read(call.args[0], block), widths, "constant", float(call.attrs.pad_value))
