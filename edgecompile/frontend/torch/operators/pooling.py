"""Max, average and adaptive pooling, one to three spatial dimensions."""

from __future__ import annotations

import math

from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context, is_float, shape_of
from edgecompile.frontend.torch.registry import converter

_LAYOUT = {1: "NCW", 2: "NCHW", 3: "NCDHW"}


@converter("max_pool1d.default", "max_pool2d.default", "max_pool3d.default")
def max_pool(context: Context, args: Arguments) -> relax.Expr:
    """The maximum of each window; padding counts as -inf."""
    spatial = _spatial(args)
    data, batched = _batched(context, args.self, spatial)
    kernel = _expand(args.kernel_size, spatial)
    pooled = getattr(relax.op.nn, f"max_pool{spatial}d")(
        data,
        pool_size=kernel,
        strides=_expand(args.stride, spatial) or kernel,
        padding=_expand(args.padding, spatial),
        dilation=_expand(args.dilation, spatial),
        ceil_mode=args.ceil_mode,
        layout=_LAYOUT[spatial],
    )
    _check_shape(context, pooled := context.emit(pooled), batched)
    return pooled if batched else relax.op.squeeze(pooled, [0])


@converter("max_pool2d_with_indices.default", "max_pool3d_with_indices.default")
def max_pool_with_indices(context: Context, args: Arguments) -> tuple[relax.Expr, None]:
    """Max pooling; the indices are not computed, and refused where they are used."""
    return max_pool(context, args), None


@converter("avg_pool1d.default", "avg_pool2d.default", "avg_pool3d.default")
def average_pool(context: Context, args: Arguments) -> relax.Expr:
    """The mean of each window, over the padding too if `count_include_pad`; or its sum over a given divisor."""
    spatial = _spatial(args)
    data, batched = _batched(context, args.self, spatial)
    kernel = _expand(args.kernel_size, spatial)
    divisor = args.get("divisor_override")
    if not is_float(context.dtype):
        raise context.refuse(f"average pooling of {context.dtype}", "convert the tensor to float32 first")
    padding = _expand(args.padding, spatial)
    pooled = getattr(relax.op.nn, f"avg_pool{spatial}d")(
        data,
        pool_size=kernel,
        strides=_expand(args.stride, spatial) or kernel,
        padding=padding,
        ceil_mode=args.ceil_mode,
        count_include_pad=divisor is not None or (args.count_include_pad and any(padding)),
        layout=_LAYOUT[spatial],
    )
    _check_shape(context, pooled := context.emit(pooled), batched)
    if divisor is not None:
        pooled = context.emit(relax.op.multiply(pooled, context.tensor(math.prod(kernel) / divisor, context.dtype)))
    return pooled if batched else relax.op.squeeze(pooled, [0])


@converter("_adaptive_avg_pool2d.default", "_adaptive_avg_pool3d.default", "adaptive_avg_pool1d.default")
def adaptive_average_pool(context: Context, args: Arguments) -> relax.Expr:
    """Average pooling to a given output size; a size of one is a mean."""
    spatial = _spatial(args)
    data, batched = _batched(context, args.self, spatial)
    size = _expand(args.output_size, spatial)
    if size == [1] * spatial and is_float(context.dtype):
        pooled = relax.op.mean(data, list(range(2, 2 + spatial)), keepdims=True)
    else:
        operator = getattr(relax.op.nn, f"adaptive_avg_pool{spatial}d")
        pooled = operator(data, output_size=size, layout=_LAYOUT[spatial])
    return pooled if batched else relax.op.squeeze(context.emit(pooled), [0])


@converter("adaptive_max_pool2d.default", "adaptive_max_pool3d.default")
def adaptive_max_pool(context: Context, args: Arguments) -> tuple[relax.Expr, None]:
    """Max pooling to a given output size that divides the input's; the indices are not computed."""
    spatial = _spatial(args)
    data, batched = _batched(context, args.self, spatial)
    size, shape = _expand(args.output_size, spatial), shape_of(data)[2:]
    if any(not isinstance(dim, int) or dim % out for dim, out in zip(shape, size, strict=True)):
        raise context.refuse(f"output size {size} does not divide {shape}", "use max pooling with windows of one size")
    window = [dim // out for dim, out in zip(shape, size, strict=True)]
    pooled = getattr(relax.op.nn, f"max_pool{spatial}d")(data, window, window, layout=_LAYOUT[spatial])
    return pooled if batched else relax.op.squeeze(context.emit(pooled), [0]), None


def _spatial(args: Arguments) -> int:
    return int(args.node.target.__name__.split("pool")[1][0])


def _batched(context: Context, data: relax.Expr, spatial: int) -> tuple[relax.Expr, bool]:
    if len(shape_of(data)) == spatial + 2:
        return data, True
    return context.emit(relax.op.expand_dims(data, 0)), False


def _expand(values: list[int] | int | None, spatial: int) -> list[int]:
    values = [] if values is None else [values] if isinstance(values, int) else list(values)
    return values * spatial if len(values) == 1 else values


def _check_shape(context: Context, pooled: relax.Var, batched: bool) -> None:
    """PyTorch drops a last window that would start in the padding; Relax's ceil mode keeps it."""
    value = context.node.meta["val"]
    expected = list((value[0] if isinstance(value, list | tuple) else value).shape)
    found = shape_of(pooled)[0 if batched else 1 :]
    if all(isinstance(dim, int) for dim in expected + found) and expected != found:
        raise context.refuse("ceil_mode whose last window lies in the padding", "use ceil_mode=False or pad explicitly")
