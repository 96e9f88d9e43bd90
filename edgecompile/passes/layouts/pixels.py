"""The ways of operators that move pixels and leave channels where they are: `resize2d` and `pad`.

A template resizes blocked tensors by tables of places and weights. What it does not take is priced alike on plain and
on blocked tensors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from tvm import relax

from edgecompile.implementation import Implementation, Implementations
from edgecompile.passes.layouts.tensor_shapes import block_of, blockable_shape, image_shape
from edgecompile.passes.layouts.way import Way, explain, plain_way
from edgecompile.resizing import COORDINATES, METHODS, Axis, Resizing

if TYPE_CHECKING:
    from edgecompile.passes.layouts.workshop import Workshop


def resize_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """Resizing height and width."""
    x, shape, plain = call.args[0], blockable_shape(call), plain_way(call)
    block = block_of(x.ty, implementations)
    if shape is None or call.attrs.layout != "NCHW" or not isinstance(x, relax.Var) or block is None:
        return [plain]
    axes = _axes(call) if image_shape(x) is not None else None  # templates are for floats
    if axes is not None:
        rows, columns = axes
        taps = 1 if rows.method == "nearest_neighbor" else 2
        problem = Resizing(*shape[:2], rows.extent, columns.extent, *shape[2:], taps)
        offers = implementations.resizings(problem, block)
        plain = plain_way(call, implementations.plain_cycles(math.prod(shape)))
        if offers:
            best = min(offers, key=lambda offer: offer.cycles)
            build = partial(_build_template, call, block, axes, best)
            return [Way({x: block}, block, best.cycles, build, explain(best, offers)), plain]
    return [Way({x: block}, block, plain.cycles, partial(_build_resize, call, block)), plain]


def pad_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """Padding with a number, of anything but channels."""
    x, plain = call.args[0], plain_way(call)
    block = block_of(x.ty, implementations)
    if blockable_shape(call) is None or not isinstance(x, relax.Var) or call.attrs.pad_mode != "constant":
        return [plain]
    if block is None or any(int(width) for width in call.attrs.pad_width[2:4]):
        return [plain]
    return [Way({x: block}, block, 0.0, partial(_build_pad, call, block)), plain]


def _axes(call: relax.Call) -> tuple[Axis, Axis] | None:
    """How places along height and width are found; None where tables of this project do not say it."""
    attributes, shape, result = call.attrs, image_shape(call.args[0]), image_shape(call)
    method, coordinates = str(attributes.method), str(attributes.coordinate_transformation_mode)
    if shape is None or result is None or method not in METHODS or coordinates not in COORDINATES:
        return None
    if coordinates == "align_corners" and 1 in result[2:]:
        return None  # the operator divides by zero
    rounding = str(attributes.rounding_method)
    rows, columns = (Axis(shape[axis], result[axis], method, coordinates, rounding) for axis in (2, 3))
    return rows, columns


def _build_template(
    call: relax.Call, block: int, axes: tuple[Axis, Axis], offer: Implementation, workshop: Workshop
) -> relax.Expr:
    (rows, row_weights), (columns, column_weights) = (axis.taps() for axis in axes)
    tables = [rows, columns[None], *((row_weights, column_weights[None]) if rows.shape[1] > 1 else ())]
    constants = [relax.const(table) for table in tables]
    return workshop.template("resize", offer.compute, [workshop.read(call.args[0], block), *constants])


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
