"""The ways of poolings, and of means over the pixels.

No template computes them. On blocked tensors the lanes of a vector are channels, and none of their loads is strided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from tvm import relax

from edgecompile.implementation import Implementations
from edgecompile.passes.layouts.tensor_shapes import image_shape
from edgecompile.passes.layouts.way import PLAIN, Way, plain_way

if TYPE_CHECKING:
    from edgecompile.passes.layouts.workshop import Workshop

POOLS = frozenset(("relax.nn.max_pool2d", "relax.nn.avg_pool2d"))
GLOBAL_POOLS = frozenset(("relax.nn.adaptive_avg_pool2d", "relax.nn.adaptive_max_pool2d"))
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
    shape = image_shape(call)
    window = math.prod(int(extent) for extent in call.attrs.pool_size)
    if shape is None or call.attrs.layout != "NCHW":
        return [plain_way(call)]
    return _ways(call, implementations, math.prod(shape) * window, _WINDOWS, _pool)


def global_pool_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """Pooling to a given size."""
    shape = image_shape(call.args[0])
    if shape is None or call.attrs.layout != "NCHW":
        return [plain_way(call)]
    return _ways(call, implementations, math.prod(shape), _IMAGES, _global_pool)


def mean_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """The mean over height and width. Where they do not stay as dimensions of one, the result is plain either way."""
    shape = image_shape(call.args[0])
    axes = {int(axis) % 4 for axis in call.attrs.axis} if shape is not None and call.attrs.axis else set()
    if shape is None or axes != {2, 3}:
        return [plain_way(call)]
    on_blocks, *plain = _ways(call, implementations, math.prod(shape), _IMAGES, _mean)
    return [on_blocks if call.attrs.keepdims else replace(on_blocks, writes=PLAIN), *plain]


def _ways(
    call: relax.Call, implementations: Implementations, elements: int, share: _Share, build: _OnBlocks
) -> Sequence[Way]:
    x, shape, cycles = call.args[0], image_shape(call.args[0]), implementations.plain_cycles(elements)
    plain = plain_way(call, share.plain * cycles)
    if shape is None or not isinstance(x, relax.Var):
        return [plain]
    block = implementations.block(shape[1])
    return [Way({x: block}, block, share.blocked * cycles, partial(_build, call, block, build)), plain]


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
