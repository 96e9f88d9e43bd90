"""Numbers that runs of a tensor's elements share.

An array of `blocks` numbers, as many dimensions as the tensor and each extent a divisor of the tensor's, gives a number
to each element: that at `index // (extent / block)` of each axis. `[64, 1, 1, 1]` is one number for each of 64 output
channels, `[64, 4, 1, 1]` one for each channel and each quarter of its input channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def split(array: np.ndarray, blocks: Sequence[int]) -> np.ndarray:
    """`[block, run, block, run, ...]`: the elements of one number lie along the odd axes."""
    pairs = [(block, extent // block if block else 1) for block, extent in zip(blocks, array.shape, strict=True)]
    return array.reshape([number for pair in pairs for number in pair])


def run_axes(rank: int) -> tuple[int, ...]:
    """The axes of `split` along which one number holds."""
    return tuple(range(1, 2 * rank, 2))


def spread(numbers: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The number of each element of a tensor of this shape."""
    pairs = [(block, extent // block if block else 1) for block, extent in zip(numbers.shape, shape, strict=True)]
    single = numbers.reshape([number for block, _ in pairs for number in (block, 1)])
    return np.broadcast_to(single, [number for pair in pairs for number in pair]).reshape(shape)


def longest_runs(index: np.ndarray) -> np.ndarray:
    """The fewest blocks that give each element its index; -1 fits all of them.

    Args:
        index: int64 of any shape, at least -1.

    Returns:
        The indices of the blocks; -1 where no element has one.
    """
    low, high = np.where(index < 0, np.iinfo(index.dtype).max, index), index
    for axis, extent in enumerate(index.shape):
        for block in (number for number in range(1, extent + 1) if extent % number == 0):
            shape = (*low.shape[:axis], block, extent // block, *low.shape[axis + 1 :])
            least, most = low.reshape(shape).min(axis=axis + 1), high.reshape(shape).max(axis=axis + 1)
            if np.all((least == most) | (most < 0)):
                low, high = least, most
                break
    return high
