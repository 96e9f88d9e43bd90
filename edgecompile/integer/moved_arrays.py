"""The movements of `movements` in NumPy, for the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from tvm import relax

from edgecompile.resizing import Axis


def axes_of(call: relax.Call) -> tuple[int, ...] | None:
    """The attribute `axis` of an operator that takes several; None stands for all."""
    return None if call.attrs.axis is None else tuple(int(axis) for axis in call.attrs.axis)


def _max_pool2d(call: relax.Call, values: Sequence[Any]) -> np.ndarray:
    (x,) = values
    attributes = call.attrs
    assert not attributes.ceil_mode
    top, left, bottom, right = (int(pixels) for pixels in attributes.padding)
    lowest = np.iinfo(x.dtype).min
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=lowest)
    size, strides, dilation = (
        [int(n) for n in numbers] for numbers in (attributes.pool_size, attributes.strides, attributes.dilation)
    )
    extents = [(pixels - 1) * step + 1 for pixels, step in zip(size, dilation, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, extents, axis=(2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1], :: dilation[0], :: dilation[1]]
    return np.asarray(windows.max(axis=(4, 5)))


def _strided_slice(call: relax.Call, values: Sequence[Any]) -> np.ndarray:
    x, axes, begin, end, *rest = values
    strides = rest[0] if rest else (1,) * len(axes)
    cuts = [slice(None)] * x.ndim
    for axis, first, last, step in zip(axes, begin, end, strides, strict=True):
        # An end in front of the first element is out of reach of Python's, which counts from the back.
        cuts[axis] = slice(first, None if step < 0 and last < -x.shape[axis] else last, step)
    return np.asarray(x[tuple(cuts)])


def _split(call: relax.Call, values: Sequence[Any]) -> tuple[np.ndarray, ...]:
    axis = int(call.attrs.axis)
    starts = [0]
    for field in call.ty.fields:
        starts.append(starts[-1] + int(field.shape.values[axis]))
    return tuple(np.split(values[0], starts[1:-1], axis=axis))


def _pad(call: relax.Call, values: Sequence[Any]) -> np.ndarray:
    widths = [int(width) for width in call.attrs.pad_width]
    assert str(call.attrs.pad_mode) == "constant"
    pairs = list(zip(widths[::2], widths[1::2], strict=True))
    return np.pad(values[0], pairs, constant_values=int(call.attrs.pad_value))


def _nearest(call: relax.Call, values: Sequence[Any]) -> np.ndarray:
    attributes, x = call.attrs, values[0]
    assert str(attributes.method) == "nearest_neighbor" and str(attributes.layout) == "NCHW"
    coordinates, rounding = str(attributes.coordinate_transformation_mode), str(attributes.rounding_method)
    rows, columns = (
        Axis(x.shape[axis], int(call.ty.shape.values[axis]), "nearest_neighbor", coordinates, rounding).taps()[0][:, 0]
        for axis in (2, 3)
    )
    return np.asarray(x[:, :, rows][..., columns])


def _repeat(call: relax.Call, values: Sequence[Any]) -> np.ndarray:
    axis = None if call.attrs.axis is None else int(call.attrs.axis)
    return np.repeat(values[0], int(call.attrs.repeats), axis=axis)


def _take(call: relax.Call, values: Sequence[Any]) -> np.ndarray:
    axis = None if call.attrs.axis is None else int(call.attrs.axis)
    return np.take(values[0], values[1], axis=axis)


MOVED_ARRAYS: Mapping[str, Callable[[relax.Call, Sequence[Any]], Any]] = {
    "relax.reshape": lambda call, values: values[0].reshape(values[1]),
    "relax.flatten": lambda call, values: values[0].reshape(-1),
    "relax.squeeze": lambda call, values: np.squeeze(values[0], axis=axes_of(call)),
    "relax.expand_dims": lambda call, values: np.expand_dims(values[0], axis=axes_of(call) or ()),
    "relax.permute_dims": lambda call, values: values[0].transpose(
        None if call.attrs.axes is None else [int(axis) for axis in call.attrs.axes]
    ),
    "relax.broadcast_to": lambda call, values: np.broadcast_to(values[0], values[1]),
    "relax.max": lambda call, values: values[0].max(axis=axes_of(call), keepdims=bool(call.attrs.keepdims)),
    "relax.min": lambda call, values: values[0].min(axis=axes_of(call), keepdims=bool(call.attrs.keepdims)),
    "relax.nn.max_pool2d": _max_pool2d,
    "relax.strided_slice": _strided_slice,
    "relax.split": _split,
    "relax.nn.pad": _pad,
    "relax.image.resize2d": _nearest,
    "relax.repeat": _repeat,
    "relax.tile": lambda call, values: np.tile(values[0], [int(times) for times in call.attrs.repeats]),
    "relax.flip": lambda call, values: np.flip(values[0], axis=int(call.attrs.axis)),
    "relax.take": _take,
}
"""By operator: of the call and its arguments."""
