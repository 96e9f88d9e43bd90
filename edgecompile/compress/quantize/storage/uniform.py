"""Evenly spaced values: `scale * (code - zero_point)`."""

from __future__ import annotations

import numpy as np

from edgecompile.compress.quantize.weights import IntegerWeight
from edgecompile.storage.stored_weight import CodedWeight


def coded(weight: IntegerWeight, bits: int) -> CodedWeight:
    """The integers of a weight as codes, which start from 0.

    A symmetric weight has one zero point, 2^(bits - 1); another has one for each scale.

    Args:
        weight: its integers fit `bits` bits.
    """
    grid, middle = weight.grid, 1 << (bits - 1)
    zero_points = np.zeros([1] * weight.integers.ndim) if grid.form.symmetric else grid.zero_points
    codes, zeros = (np.asarray(whole + np.int16(middle), np.uint8) for whole in (weight.integers, zero_points))
    return CodedWeight(codes, bits, grid.scales, zeros)
