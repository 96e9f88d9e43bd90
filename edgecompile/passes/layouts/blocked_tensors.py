"""Tensors with their channels in blocks: `[N, C, H, W]` <-> `[N, C/b, H, W, b]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tvm import te


def blocked_shape(shape: Sequence[int], block: int) -> tuple[int, ...]:
    """The shape of an `[N, C, H, W]` tensor in blocks; `block` divides C."""
    images, channels, height, width = shape
    assert channels % block == 0
    return (images, channels // block, height, width, block)


def block_constant(array: np.ndarray, channels: int, block: int) -> np.ndarray | None:
    """A constant that broadcasts against `[N, C, H, W]`, so that it broadcasts against the blocked tensor.

    Returns:
        None where it has more dimensions than four, or channels that are neither one nor C.
    """
    if array.size == 1:
        return array.reshape(())
    if array.ndim > 4:
        return None
    images, found, height, width = (1,) * (4 - array.ndim) + array.shape
    if found == 1:
        return array.reshape(images, 1, height, width, 1)
    if found != channels:
        return None
    split = array.reshape(images, channels // block, block, height, width)
    return np.ascontiguousarray(split.transpose(0, 1, 3, 4, 2))


def is_reshape(shape: Sequence[int], block: int) -> bool:
    """True when both layouts of an `[N, C, H, W]` tensor have the same bytes."""
    _, _, height, width = shape
    return height * width == 1 or block == 1


def to_blocks(x: te.Tensor, block: int) -> te.Tensor:
    """`[N, C, H, W]` -> `[N, C/b, H, W, b]`."""
    from tvm import te

    images, channels, height, width = x.shape
    return te.compute(
        (images, channels // block, height, width, block),
        lambda n, c, h, w, lane: x[n, c * block + lane, h, w],
        name="to_blocks",
    )


def from_blocks(x: te.Tensor) -> te.Tensor:
    """`[N, C/b, H, W, b]` -> `[N, C, H, W]`."""
    from tvm import te

    images, blocks, height, width, block = x.shape
    return te.compute(
        (images, blocks * block, height, width),
        lambda n, c, h, w: x[n, c // block, h, w, c % block],
        name="from_blocks",
    )


def padded_blocks(x: te.Tensor, block: int) -> te.Tensor:
    """`[N, C, H, W]` -> `[N, 1, H, W, b]` with b >= C; what lies beyond C is zero."""
    from tvm import te, tirx

    images, channels, height, width = x.shape

    def value(n: tirx.Var, _: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> tirx.Expr:
        return tirx.if_then_else(lane < channels, x[n, tirx.min(lane, channels - 1), h, w], tirx.const(0, x.dtype))

    return te.compute((images, 1, height, width, block), value, name="to_padded_blocks")
