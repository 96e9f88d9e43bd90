"""Steps of a weight in which its bias can be told too."""

from __future__ import annotations

import dataclasses

import numpy as np
from tvm import relax

from edgecompile.passes.integers.quantized import Quantized

_MOST_STEPS = 2.0**28  # of a bias, so that sums beside it stay within 32 bits
_FINE_STEPS = 2.0**24  # of a bias that is alone: as fine as float32


def fit_steps_of_bias(weight: Quantized, axis: int, x_scale: float, bias: np.ndarray | None) -> Quantized:
    """The weight with coarser steps in channels whose bias would not fit 32 bits in steps of the sums.

    Such a bias is so much larger than the channel's sums that what coarser weights lose is less than a hundredth of it.
    A channel without weights has no steps of its own, and gets those that tell its bias finely.

    Args:
        weight: a constant.
        axis: of its output channels.
        x_scale: the step of what it is multiplied with.
        bias: `[channels]` or of one element; None where there is none.
    """
    array = weight.value.value.numpy()
    channels = array.shape[axis]
    if bias is None or bias.size not in (1, channels):
        return weight
    scale = np.broadcast_to(np.asarray(weight.scale, np.float64).reshape(-1), channels)
    steps = np.abs(np.broadcast_to(bias.astype(np.float64).reshape(-1), channels)) / (x_scale * scale)
    is_empty = ~array.any(axis=tuple(other for other in range(array.ndim) if other != axis))
    steps = np.where(steps > 0, steps, 1.0)
    factor = 2.0 ** np.where(
        is_empty, np.floor(np.log2(steps / _FINE_STEPS)), np.maximum(np.ceil(np.log2(steps / _MOST_STEPS)), 0.0)
    )
    if np.all(factor == 1):
        return weight
    along = [-1 if position == axis else 1 for position in range(array.ndim)]
    coarser = np.rint(array / factor.reshape(along)).astype(array.dtype)
    return dataclasses.replace(weight, value=relax.const(coarser, str(coarser.dtype)), scale=scale * factor, axis=axis)
