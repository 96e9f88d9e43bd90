"""DFT and STFT as products with cosine and sine matrices, and MelWeightMatrix."""

from __future__ import annotations

import math

import numpy as np
from tvm import relax
from tvm.relax import op

from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, make_constant, rank_of, shape_of
from edgecompile.frontend.onnx.emit import normalized_axis, reshape
from edgecompile.frontend.onnx.fold import MAX_ELEMENTS, evaluate
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator

MAX_ENTRIES = 2**23
"""The largest matrix of a transform: 2,896 real points to half as many complex bins, or 1,448 complex points."""


def _transform(
    context: Context, x: relax.Expr, length: int, bins: int, inverse: bool, window: relax.Expr | None = None
) -> relax.Expr:
    """[.., T, 1 or 2] -> [.., bins, 2], T at most `length`: y[k] = sum_n x[n] exp(-+ 2 pi i k n / length).

    As one product: the real and the imaginary parts side by side, [.., T * parts] @ [T * parts, bins * 2].
    """
    *lead, samples, parts = context.require_static(context.node, x)
    dtype = dtype_of(x)
    turns = np.outer(np.arange(samples), np.arange(bins)) % length  # exact, where n * k * 2 pi in float would not be
    angles = 2.0 * np.pi * turns / length
    cos, sin = np.cos(angles), (1.0 if inverse else -1.0) * np.sin(angles)
    scale = 1.0 / length if inverse else 1.0
    real_rows = np.stack([cos, sin], axis=-1)  # what a real input adds to the real and the imaginary result
    rows = real_rows[:, None] if parts == 1 else np.stack([real_rows, np.stack([-sin, cos], axis=-1)], axis=1)
    matrix = make_constant((rows.reshape(samples * parts, bins * 2) * scale).astype(dtype))
    if window is not None:
        weights = context.emit(op.repeat(window, parts * bins * 2, axis=0)) if parts * bins else window
        matrix = context.emit(op.multiply(matrix, reshape(context, weights, (samples * parts, bins * 2))))
    flat = reshape(context, x, (*lead, samples * parts))
    if not lead:
        flat = reshape(context, flat, (1, samples * parts))
    return reshape(context, context.emit(op.matmul(flat, matrix)), (*lead, bins, 2))


def _check_length(node: Node, length: int, entries: int) -> None:
    if length < 1 or entries > MAX_ENTRIES:
        raise node.unsupported(
            f"a transform of at least 1 point with a matrix of at most {MAX_ENTRIES} entries can be compiled, "
            f"found {length} points and {entries} entries; use a shorter transform"
        )


@operator("DFT", since=17)
def dft_17(context: Context, node: Node, inputs: Inputs) -> Result:
    """The axis is an attribute."""
    return _dft(context, node, inputs, node.integer("axis", 1))


@operator("DFT", since=20)
def dft_20(context: Context, node: Node, inputs: Inputs) -> Result:
    """The axis is an input."""
    axis = -2 if inputs[2] is None else int(context.require_constant(node, 2).reshape(-1)[0])
    return _dft(context, node, inputs, axis)


def _dft(context: Context, node: Node, inputs: Inputs, axis: int) -> Result:
    """x [.., D, .., 1 or 2] -> [.., bins, .., 2], or [.., length, .., 1] for a onesided inverse transform."""
    x = inputs[0]
    rank = rank_of(x)
    axis = normalized_axis(context, axis, rank)
    if axis == rank - 1:
        raise node.invalid("the axis must not be the last one, which holds real and imaginary parts")
    inverse, onesided = node.integer("inverse", 0) == 1, node.integer("onesided", 0) == 1
    order = [*(i for i in range(rank) if i not in (axis, rank - 1)), axis, rank - 1]
    x = context.emit(op.permute_dims(x, order))
    samples = context.require_static(node, x)[-2]
    length = 2 * (samples - 1) if inverse and onesided else samples
    if inputs[1] is not None:
        length = int(context.require_constant(node, 1).reshape(-1)[0])
    needed = length // 2 + 1 if inverse and onesided else length
    bins = length // 2 + 1 if onesided else length
    _check_length(node, length, min(samples, needed) * shape_of(x)[-1] * bins * 2)
    if samples > needed:
        x = context.emit(op.strided_slice(x, [rank - 2], [0], [needed]))
    y = _inverse_real(context, x, length) if inverse and onesided else _transform(context, x, length, bins, inverse)
    return context.emit(op.permute_dims(y, [order.index(i) for i in range(rank)]))


def _inverse_real(context: Context, x: relax.Expr, length: int) -> relax.Expr:
    """[.., length / 2 + 1, 2] -> [.., length, 1]: bins count twice but the first and an even length's middle one."""
    *lead, samples, parts = context.require_static(context.node, x)
    if parts != 2:
        raise context.node.invalid(f"a complex input was needed for a onesided inverse transform, found {parts} parts")
    counts = np.full((samples,), 2.0)
    counts[0] = 1.0
    if length % 2 == 0 and samples == length // 2 + 1:
        counts[-1] = 1.0
    angles = 2.0 * np.pi * (np.outer(np.arange(samples), np.arange(length)) % length) / length
    rows = np.stack([np.cos(angles), -np.sin(angles)], axis=1) * (counts / length)[:, None, None]
    matrix = make_constant(rows.reshape(samples * 2, length).astype(dtype_of(x)))
    flat = reshape(context, x, (*(lead or [1]), samples * 2))
    return reshape(context, context.emit(op.matmul(flat, matrix)), (*lead, length, 1))


@operator("STFT")
def stft(context: Context, node: Node, inputs: Inputs) -> Result:
    """signal [B, T, 1 or 2] -> [B, frames, bins, 2]: frames gathered, then windowed and transformed by one product."""
    signal, window = inputs[0], inputs[2]
    batch, total, parts = context.require_static(node, signal)
    step = int(context.require_constant(node, 1).reshape(-1)[0])
    length = total if window is None else context.require_static(node, window)[0]
    if inputs[3] is not None:
        length = int(context.require_constant(node, 3).reshape(-1)[0])
    bins = length // 2 + 1 if node.integer("onesided", 1) == 1 and parts == 1 else length
    _check_length(node, length, length * parts * bins * 2)
    if step < 1 or length > total or (window is not None and shape_of(window) != (length,)):
        raise node.invalid(
            f"a positive step and a window of at most {total} samples were needed, found {step} and {length}"
        )
    frames = (total - length) // step + 1
    if batch * frames * length * parts > MAX_ELEMENTS * 64:
        raise node.unsupported(
            f"at most {MAX_ELEMENTS * 64} samples in all frames can be compiled; use a larger frame_step"
        )
    positions = np.arange(frames)[:, None] * step + np.arange(length)
    gathered = context.emit(op.take(signal, make_constant(positions.reshape(-1)), axis=1, mode="clip"))
    x = reshape(context, gathered, (batch, frames, length, parts))
    return _transform(context, x, length, bins, False, window)


@operator("MelWeightMatrix")
def mel_weight_matrix(context: Context, node: Node, inputs: Inputs) -> Result:
    """A constant [dft_length / 2 + 1, num_mel_bins], for all inputs are known at import."""
    given = [context.require_constant(node, index) for index in range(len(inputs))]
    if not 0 < int(given[0].item()) * (int(given[1].item()) // 2 + 1) <= MAX_ELEMENTS:
        raise node.unsupported(f"a matrix of at most {MAX_ELEMENTS} entries was needed")
    if not math.isfinite(float(given[3].item())) or not math.isfinite(float(given[4].item())):
        raise node.invalid("finite frequencies were needed")
    (matrix,) = evaluate(node, dict(zip(node.inputs, given, strict=True)), {"": node.opset})
    return make_constant(np.asarray(matrix))
