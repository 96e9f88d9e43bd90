"""How many scales a weight has along each of its axes."""

from __future__ import annotations

from collections.abc import Sequence

from edgecompile.compress.quantize.granularity import channel_axis, sum_axis
from edgecompile.compress.quantize.scheme import WeightScheme


def blocks_of(operator: str, shape: Sequence[int], weights: WeightScheme) -> tuple[int, ...]:
    """The shape of `granularity.scale_shape` with an extent of 1 for each axis that it leaves out.

    A convolution's weight [64, 32, 3, 3] has [1, 1, 1, 1] per tensor, [64, 1, 1, 1] per channel and [64, 2, 1, 1] in
    groups of 16.
    """
    rank = len(shape)
    found = [1] * rank
    if weights.granularity == "per_tensor":
        return tuple(found)
    axis = channel_axis(operator, rank)
    if axis is not None:
        found[axis] = shape[axis]
    if weights.granularity == "per_group":
        assert weights.group_size is not None, "the scheme was checked"
        summed = sum_axis(operator, rank)
        if operator == "matmul":
            found[:summed] = shape[:summed]
        found[summed] = shape[summed] // weights.group_size
    return tuple(found)
