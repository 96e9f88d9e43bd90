"""The ways of poolings, and of means over the pixels.

The template reads blocked tensors: the lanes of a vector are channels, and none of their loads is strided. Without it,
loops over blocks are still faster than over plain tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from tvm import relax

from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation, Implementations
from edgecompile.passes.layouts.tensor_shapes import block_of, blockable_shape, image_shape, static_shape
from edgecompile.passes.layouts.way import PLAIN, Way, explain, plain_way
from edgecompile.pooling import Pooling, PoolingKind

if TYPE_CHECKING:
    from edgecompile.passes.layouts.workshop import Workshop

POOLS = frozenset(("relax.nn.max_pool2d", "relax.nn.avg_pool2d"))
GLOBAL_POOLS = frozenset(("relax.nn.adaptive_avg_pool2d",))
MEANS = frozenset(("relax.mean",))


@dataclass(frozen=True)
class _Share:
    """How long an element of a window takes, in proportion to a multiply-add without a template."""

    plain: float
    blocked: float


# Measured on a Zen 5 server, in cycles per element: windows 0.7 to 0.9 and 0.5; whole images 1.9 and 0.9.
_WINDOWS, _IMAGES = _Share(0.4, 0.25), _Share(0.95, 0.45)

_OnBlocks = Callable[[relax.Call, relax.Expr, str], relax.Expr]  # of the call, its blocked input and the layout's name


def pool_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """Max and average pooling by windows."""
    shape = blockable_shape(call)
    window = math.prod(int(extent) for extent in call.attrs.pool_size)
    if shape is None or call.attrs.layout != "NCHW":
        return [plain_way(call)]
    return _ways(call, implementations, math.prod(shape) * window, _WINDOWS, _pool, _windows(call))


def global_pool_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """Pooling to a given size."""
    shape = image_shape(call.args[0])
    if shape is None or call.attrs.layout != "NCHW":
        return [plain_way(call)]
    return _ways(call, implementations, math.prod(shape), _IMAGES, _global_pool, _equal_windows(call))


def mean_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """The mean over height and width. Where they do not stay as dimensions of one, the result is plain either way."""
    shape = image_shape(call.args[0])
    axes = {int(axis) % 4 for axis in call.attrs.axis} if shape is not None and call.attrs.axis else set()
    if shape is None or axes != {2, 3}:
        return [plain_way(call)]
    whole = Pooling("average", _image_windows(shape, (1, 1)))
    on_blocks, *plain = _ways(call, implementations, math.prod(shape), _IMAGES, _mean, whole)
    return [on_blocks if call.attrs.keepdims else replace(on_blocks, writes=PLAIN), *plain]


def _windows(call: relax.Call) -> Pooling | None:
    """The windows of a pooling.

    None where a shape is not known, for averages of integers, and where averages count padding, but not the part of a
    window beyond it.
    """
    attributes, shape, result = call.attrs, blockable_shape(call.args[0]), blockable_shape(call)
    kind: PoolingKind = "max" if call.op.name.endswith("max_pool2d") else "average"
    dtype = str(call.args[0].ty.dtype)
    if shape is None or result is None or dtype not in (["float32", "int8"] if kind == "max" else ["float32"]):
        return None
    kernel, strides, dilations = (
        (int(numbers[0]), int(numbers[1]))
        for numbers in (attributes.pool_size, attributes.strides, attributes.dilation)
    )
    top, left = int(attributes.padding[0]), int(attributes.padding[1])
    # What rounding up the size of the result adds is padding too; what no window meets is none.
    bottom, right = (
        max(
            0,
            (result[axis + 2] - 1) * strides[axis]
            + dilations[axis] * (kernel[axis] - 1)
            + 1
            - shape[axis + 2]
            - before,
        )
        for axis, before in ((0, top), (1, left))
    )
    padding = top, left, bottom, right
    windows = Convolution(shape[0], shape[1], *shape[1:], kernel, strides, padding, dilations, shape[1])
    counts = bool(attributes.count_include_pad)
    if counts and (bottom > int(attributes.padding[2]) or right > int(attributes.padding[3])):
        return None
    return Pooling(kind, windows, counts, "int8" if dtype == "int8" else "float32")


def _equal_windows(call: relax.Call) -> Pooling | None:
    """The windows of a pooling to a given size; None where they differ."""
    shape, result = image_shape(call.args[0]), image_shape(call)
    if shape is None or result is None or shape[2] % result[2] or shape[3] % result[3]:
        return None
    return Pooling("average", _image_windows(shape, result[2:]))


def _image_windows(shape: tuple[int, int, int, int], size: tuple[int, int]) -> Convolution:
    """The image cut into a number of equal windows."""
    kernel = shape[2] // size[0], shape[3] // size[1]
    return Convolution(shape[0], shape[1], shape[1], shape[2], shape[3], kernel, kernel, groups=shape[1])


def _ways(
    call: relax.Call,
    implementations: Implementations,
    elements: int,
    share: _Share,
    build: _OnBlocks,
    pooling: Pooling | None,
) -> Sequence[Way]:
    """The template on blocks, or loops without one; and loops on plain tensors."""
    x, cycles = call.args[0], implementations.plain_cycles(elements)
    plain, block = plain_way(call, share.plain * cycles), block_of(x.ty, implementations)
    if block is None or not isinstance(x, relax.Var):
        return [plain]
    offers = implementations.poolings(pooling, block) if pooling is not None else ()
    if not offers:
        return [Way({x: block}, block, share.blocked * cycles, partial(_build, call, block, build)), plain]
    best = min(offers, key=lambda offer: offer.cycles)
    return [Way({x: block}, block, best.cycles, partial(_template, call, block, best), explain(best, offers)), plain]


def _template(call: relax.Call, block: int, offer: Implementation, workshop: Workshop) -> relax.Expr:
    result = workshop.template(offer.name.split()[0], offer.compute, [workshop.read(call.args[0], block)])
    shape = static_shape(call)
    assert shape is not None
    return result if len(shape) == 4 else relax.op.reshape(workshop.emit(result, "mean"), shape)


def _build(call: relax.Call, block: int, build: _OnBlocks, workshop: Workshop) -> relax.Expr:
    return build(call, workshop.read(call.args[0], block), f"NCHW{block}c")


def _pool(call: relax.Call, x: relax.Expr, layout: str) -> relax.Expr:
    attributes = call.attrs
    numbers = [
        tuple(int(number) for number in getattr(attributes, name))
        for name in ("pool_size", "strides", "padding", "dilation")
    ]
    make = getattr(relax.op.nn, call.op.name.removeprefix("relax.nn."))
    return make(x, *numbers, bool(attributes.ceil_mode), bool(attributes.count_include_pad), layout, layout)


def _global_pool(call: relax.Call, x: relax.Expr, layout: str) -> relax.Expr:
    size = [int(extent) for extent in call.attrs.output_size] if call.attrs.output_size else None
    return getattr(relax.op.nn, call.op.name.removeprefix("relax.nn."))(x, size, layout, layout)


def _mean(call: relax.Call, x: relax.Expr, layout: str) -> relax.Expr:
    del layout
    mean = relax.op.mean(x, [2, 3], keepdims=True)
    return mean if call.attrs.keepdims else relax.op.reshape(mean, call.ty.shape)
