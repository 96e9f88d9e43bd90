"""The ways of poolings, and of means over the pixels.

No template computes them. On blocked tensors the lanes of a vector are channels, and none of their loads is strided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from tvm import relax

from edgecompile.implementation import Implementations
from edgecompile.passes.layouts.tensor_shapes import image_shape
from edgecompile.passes.layouts.way import Way, plain_way

if TYPE_CHECKING:
    from edgecompile.passes.layouts.workshop import Workshop

POOLS = frozenset(("relax.nn.max_pool2d", "relax.nn.avg_pool2d"))
GLOBAL_POOLS = frozenset(("relax.nn.adaptive_avg_pool2d", "relax.nn.adaptive_max_pool2d"))
MEANS = frozenset(("relax.mean",))

_BLOCKED_SHARE = 0.6  # of the time on plain tensors; 0.5 (means, maxima) to 0.7 (averages) on a Zen 5 server

_OnBlocks = Callable[[relax.Call, relax.Expr, str], relax.Expr]  # of the call, its blocked input and the layout's name


def pool_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """Max and average pooling by windows."""
    shape = image_shape(call)
    window = math.prod(int(extent) for extent in call.attrs.pool_size)
    if shape is None or call.attrs.layout != "NCHW":
        return [plain_way(call)]
    return _ways(call, implementations, math.prod(shape) * window, _pool)


def global_pool_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """Pooling to a given size."""
    shape = image_shape(call.args[0])
    if shape is None or call.attrs.layout != "NCHW":
        return [plain_way(call)]
    return _ways(call, implementations, math.prod(shape), _global_pool)


def mean_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """The mean over height and width, where both stay as dimensions of one."""
    shape = image_shape(call.args[0])
    axes = {int(axis) % 4 for axis in call.attrs.axis} if shape is not None and call.attrs.axis else set()
    if shape is None or axes != {2, 3} or not call.attrs.keepdims:
        return [plain_way(call)]
    return _ways(call, implementations, math.prod(shape), lambda call, x, layout: relax.op.mean(x, [2, 3], True))


def _ways(call: relax.Call, implementations: Implementations, operations: int, build: _OnBlocks) -> Sequence[Way]:
    x, shape, cycles = call.args[0], image_shape(call.args[0]), implementations.plain_cycles(operations)
    plain = plain_way(call, cycles)
    if shape is None or not isinstance(x, relax.Var):
        return [plain]
    block = implementations.block(shape[1])
    return [Way({x: block}, block, _BLOCKED_SHARE * cycles, partial(_build, call, block, build)), plain]


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
