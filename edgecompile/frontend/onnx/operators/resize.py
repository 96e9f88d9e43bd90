"""Resize and Upsample: every output coordinate is a weighted sum of a few inputs, along one axis after the other.

Sizes are known at import, so positions and weights are computed here with NumPy and only applied at run time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import relax, te

from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, is_float, make_constant
from edgecompile.frontend.onnx.emit import cast, normalized_axis, scalar
from edgecompile.frontend.onnx.limits import check_dimensions
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator
from edgecompile.resizing import COORDINATES, Axis

_SAME_WEIGHT = 1e-5  # of float32 places in images of up to a hundred pixels


@dataclass(frozen=True)
class Rules:
    """What the node asks for.

    Attributes:
        mode: "nearest", "linear" or "cubic".
        coordinates: how an output position maps to the input, by ONNX's name.
    """

    mode: str
    coordinates: str
    nearest: str
    cubic: float
    exclude_outside: bool
    antialias: bool
    extrapolation: float


@operator("Upsample")
def upsample(context: Context, node: Node, inputs: Inputs) -> Result:
    """Resize by factors of at least 1, positions counted from corner to corner without half pixels."""
    given = node.floats("scales")
    scales = [float(s) for s in context.require_constant(node, 1)] if given is None else given
    mode = {"bilinear": "linear"}.get(node.string("mode", "nearest"), node.string("mode", "nearest"))
    shape = context.require_static(node, inputs[0])
    sizes = [math.floor(size * scale) for size, scale in zip(shape, scales, strict=True)]
    rules = Rules(mode, "asymmetric", "floor", -0.75, False, False, 0.0)
    return _resize(context, node, inputs[0], sizes, scales, [(0.0, 1.0)] * len(shape), rules)


@operator("Resize", since=10)
def resize_10(context: Context, node: Node, inputs: Inputs) -> Result:
    """Opset 10: as Upsample, but factors below 1 are allowed."""
    return upsample(context, node, inputs)


@operator("Resize", since=11)
def resize(context: Context, node: Node, inputs: Inputs) -> Result:
    """x: any rank -> the sizes given, or the sizes times the scales given."""
    x = inputs[0]
    shape = context.require_static(node, x)
    rank = len(shape)
    axes = node.integers("axes")
    chosen = list(range(rank)) if axes is None else [normalized_axis(context, axis, rank) for axis in axes]
    rules = Rules(
        node.string("mode", "nearest"),
        node.string("coordinate_transformation_mode", "half_pixel"),
        node.string("nearest_mode", "round_prefer_floor"),
        node.floating("cubic_coeff_a", -0.75),
        bool(node.integer("exclude_outside", 0)),
        bool(node.integer("antialias", 0)),
        node.floating("extrapolation_value", 0.0),
    )
    regions = [(0.0, 1.0)] * rank
    if rules.coordinates == "tf_crop_and_resize":
        roi = context.require_constant(node, 1).astype(np.float64)
        for index, axis in enumerate(chosen):
            regions[axis] = (float(roi[index]), float(roi[index + len(chosen)]))
    sizes, scales = list(shape), [1.0] * rank
    given = None if inputs[2] is None else context.require_constant(node, 2)
    if given is not None and given.size:
        for axis, scale in zip(chosen, given.tolist(), strict=True):
            start, end = regions[axis]
            scales[axis] = float(scale)
            sizes[axis] = math.floor(shape[axis] * (end - start) * scale)
    else:
        wanted = dict(zip(chosen, context.require_constant(node, 3).tolist(), strict=True))
        wanted = _keep_aspect(node, wanted, shape)
        for axis, size in wanted.items():
            sizes[axis] = size
            scales[axis] = size / shape[axis]
        policy = node.string("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            ratio = _aspect_ratio(
                policy, dict(zip(chosen, context.require_constant(node, 3).tolist(), strict=True)), shape
            )
            scales = [ratio if axis in chosen else 1.0 for axis in range(rank)]
    return _resize(context, node, x, sizes, scales, regions, rules)


def _aspect_ratio(policy: str, wanted: dict[int, int], shape: tuple[int, ...]) -> float:
    ratios = [size / shape[axis] for axis, size in wanted.items()]
    return min(ratios) if policy == "not_larger" else max(ratios)


def _keep_aspect(node: Node, wanted: dict[int, int], shape: tuple[int, ...]) -> dict[int, int]:
    policy = node.string("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return wanted
    ratio = _aspect_ratio(policy, wanted, shape)
    return {axis: math.floor(ratio * shape[axis] + 0.5) for axis in wanted}


def _resize(
    context: Context,
    node: Node,
    x: relax.Expr,
    sizes: list[int],
    scales: list[float],
    regions: list[tuple[float, float]],
    rules: Rules,
) -> relax.Expr:
    shape = context.require_static(node, x)
    check_dimensions(node.name, sizes)
    dtype = dtype_of(x)
    if _is_of_image(node, shape, sizes, scales, rules) and dtype == "float32":
        method = "nearest_neighbor" if rules.mode == "nearest" else "linear"
        return context.emit(
            relax.op.image.resize2d(
                x,
                tuple(sizes[2:]),
                method=method,
                coordinate_transformation_mode=rules.coordinates,
                rounding_method=rules.nearest,
            )
        )
    wide = x if rules.mode == "nearest" or is_float(dtype) else cast(context, x, "float32")
    outside: list[np.ndarray | None] = []
    for axis, (size, new_size) in enumerate(zip(shape, sizes, strict=True)):
        region = regions[axis]
        if size == new_size and scales[axis] == 1.0 and region == (0.0, 1.0):
            outside.append(None)
            continue
        at = _coordinates(node, size, new_size, scales[axis], region, rules.coordinates)
        outside.append((at < 0) | (at > size - 1) if rules.coordinates == "tf_crop_and_resize" else None)
        if rules.mode == "nearest":
            places = make_constant(_nearest(node, at, size, rules.nearest))
            wide = context.emit(relax.op.take(wide, places, axis=axis, mode="clip"))
        else:
            wide = _weighted(context, wide, axis, *_taps(node, at, size, scales[axis], rules))
    if any(mask is not None and mask.any() for mask in outside):
        whole = np.zeros((1,) * len(shape), bool)
        for axis, mask in enumerate(outside):
            if mask is not None:
                whole = whole | mask.reshape([-1 if other == axis else 1 for other in range(len(shape))])
        wide = context.emit(relax.op.where(make_constant(whole), scalar(rules.extrapolation, dtype_of(wide)), wide))
    if dtype == dtype_of(wide):
        return wide
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return cast(
        context, context.emit(relax.op.clip(context.emit(relax.op.round(wide)), float(low), float(high))), dtype
    )


def _is_of_image(node: Node, shape: tuple[int, ...], sizes: list[int], scales: list[float], rules: Rules) -> bool:
    """True where `image.resize2d`, which has kernels on blocks and for integers, weighs the same pixels alike."""
    if len(shape) != 4 or sizes[:2] != list(shape[:2]) or rules.coordinates not in COORDINATES or 1 in sizes[2:]:
        return False
    if rules.mode not in ("nearest", "linear") or rules.antialias or rules.exclude_outside:
        return False
    method = "nearest_neighbor" if rules.mode == "nearest" else "linear"
    for axis in (2, 3):
        size, new_size = shape[axis], sizes[axis]
        at = _coordinates(node, size, new_size, scales[axis], (0.0, 1.0), rules.coordinates)
        if rules.mode == "nearest":
            ours = _nearest(node, at, size, rules.nearest)[:, None], np.ones((new_size, 1))
        else:
            ours = _taps(node, at, size, scales[axis], rules)
        theirs = Axis(size, new_size, method, rules.coordinates, rules.nearest).taps()
        if not np.allclose(_matrix(*ours, size), _matrix(*theirs, size), rtol=0, atol=_SAME_WEIGHT):
            return False
    return True


def _matrix(places: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """`[outputs, size]` of the weights of `[outputs, taps]`."""
    matrix = np.zeros((len(places), size))
    np.add.at(matrix, (np.arange(len(places))[:, None], places), weights)
    return matrix


def _coordinates(
    node: Node, size: int, new_size: int, scale: float, region: tuple[float, float], mode: str
) -> np.ndarray:
    """The position in the input, in elements, of each of `new_size` outputs."""
    i = np.arange(new_size, dtype=np.float64)
    # Not rounded, as ONNX's own test data and evaluator have it; ONNX Runtime rounds it, for align_corners alone.
    length = size * scale
    if mode == "half_pixel":
        return (i + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        return size / 2 * (1 - new_size / length) + (i + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return (i + 0.5) / scale - 0.5 if length > 1 else np.zeros(new_size)
    if mode == "align_corners":
        return i * (size - 1) / (length - 1) if length != 1 else np.zeros(new_size)
    if mode == "asymmetric":
        return i / scale
    if mode == "tf_half_pixel_for_nn":
        return (i + 0.5) / scale
    if mode == "tf_crop_and_resize":
        start, end = region
        if new_size > 1:
            return start * (size - 1) + i * (end - start) * (size - 1) / (new_size - 1)
        return np.full(new_size, 0.5 * (start + end) * (size - 1))
    raise node.invalid(f"a known coordinate_transformation_mode was needed, found '{mode}'")


def _nearest(node: Node, at: np.ndarray, size: int, mode: str) -> np.ndarray:
    rounded = {
        "round_prefer_floor": np.ceil(at - 0.5),
        "round_prefer_ceil": np.floor(at + 0.5),
        "floor": np.floor(at),
        "ceil": np.ceil(at),
    }
    if mode not in rounded:
        raise node.invalid(f"a nearest_mode among {', '.join(rounded)} was needed, found '{mode}'")
    return np.clip(rounded[mode], 0, size - 1).astype(np.int64)


def _taps(node: Node, at: np.ndarray, size: int, scale: float, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
    """Which inputs each output sums, and their weights: two arrays [outputs, taps]."""
    if rules.mode not in ("linear", "cubic"):
        raise node.invalid(f"mode nearest, linear or cubic was needed, found '{rules.mode}'")
    stretch = min(scale, 1.0) if rules.antialias else 1.0  # below 1 the kernel widens and covers what would be skipped
    reach = (1 if rules.mode == "linear" else 2) / stretch
    count = 2 * math.ceil(reach)
    first = np.floor(at) - math.ceil(reach) + 1
    places = first[:, None] + np.arange(count)[None, :]
    distance = np.abs(places - at[:, None]) * stretch
    weights = np.maximum(1 - distance, 0) if rules.mode == "linear" else _cubic(distance, rules.cubic)
    if rules.exclude_outside:
        weights = np.where((places >= 0) & (places < size), weights, 0)
    if rules.exclude_outside or rules.antialias:
        weights = weights / weights.sum(axis=1, keepdims=True)
    return np.clip(places, 0, size - 1).astype(np.int32), weights


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic convolution kernel with coefficient `a`."""
    d = distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _weighted(context: Context, x: relax.Expr, axis: int, places: np.ndarray, weights: np.ndarray) -> relax.Expr:
    shape = context.require_static(context.node, x)
    outputs, taps = places.shape

    def compute(data: te.Tensor, place: te.Tensor, weight: te.Tensor) -> te.Tensor:
        t = te.reduce_axis((0, taps), name="t")

        def at(*indices: Any) -> Any:
            o = indices[axis]
            return te.sum(data(*indices[:axis], place(o, t), *indices[axis + 1 :]) * weight(o, t), axis=t)

        return te.compute((*shape[:axis], outputs, *shape[axis + 1 :]), at, name="resize")

    constants = make_constant(places), make_constant(weights.astype(np.dtype(dtype_of(x))))
    return context.emit_te(compute, x, *constants, name="resize")
