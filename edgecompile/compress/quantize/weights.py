"""The integers of a weight: which grid they are on, and which of its points each number becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecompile.compress.quantize.scheme import INTEGER_BITS, LayerScheme
from edgecompile.storage.runs import run_axes, split, spread


@dataclass(frozen=True)
class WeightForm:
    """How a layer's weight becomes integers; they are kept as int8 whatever the bits.

    Attributes:
        blocks: how many scales there are along each axis of the weight; see `edgecompile.storage.runs`.
        lowest, highest: integers.
        symmetric: the zero point is 0.
    """

    blocks: tuple[int, ...]
    lowest: int = -127
    highest: int = 127
    symmetric: bool = True

    @staticmethod
    def of(scheme: LayerScheme, blocks: Sequence[int]) -> WeightForm:
        """The form that a scheme asks for; its blocks are those of `blocks_of`.

        Symmetric weights leave out the lowest integer, so that both sides reach equally far.
        """
        bits = 7 if scheme.reduce_range else INTEGER_BITS[scheme.weights.dtype]
        highest = (1 << (bits - 1)) - 1
        symmetric = scheme.weights.symmetric
        return WeightForm(tuple(blocks), -highest if symmetric else -highest - 1, highest, symmetric)


@dataclass(frozen=True)
class WeightGrid:
    """weight = scale * (integer - zero point).

    Attributes:
        form: the blocks and the bounds.
        scales: float32 of the blocks; positive.
        zero_points: int8 of the blocks.
    """

    form: WeightForm
    scales: np.ndarray
    zero_points: np.ndarray

    def steps(self, weight: np.ndarray) -> np.ndarray:
        """float64: where each number is on the grid, between integers and beyond its ends."""
        scales, zero_points = (spread(numbers, weight.shape) for numbers in (self.scales, self.zero_points))
        return weight / scales.astype(np.float64) + zero_points

    def nearest(self, weight: np.ndarray) -> np.ndarray:
        """int8 of the same shape."""
        return self.bounded(np.rint(self.steps(weight)))

    def bounded(self, steps: np.ndarray) -> np.ndarray:
        """int8 of whole numbers, those beyond the ends at the ends."""
        return np.clip(steps, self.form.lowest, self.form.highest).astype(np.int8)

    def real(self, integers: np.ndarray) -> np.ndarray:
        """float32 of the same shape."""
        centred = integers.astype(np.float32) - spread(self.zero_points, integers.shape)
        return np.asarray(centred * spread(self.scales, integers.shape), np.float32)


@dataclass(frozen=True)
class IntegerWeight:
    """A weight in integers.

    Attributes:
        grid: what they mean.
        integers: int8, of the weight's shape.
    """

    grid: WeightGrid
    integers: np.ndarray


def widest_grid(weight: np.ndarray, form: WeightForm, part: np.ndarray | float = 1.0) -> WeightGrid:
    """The finest grid that holds every number of the weight, or the given part of their range.

    Args:
        weight: floats of any shape, finite.
        form: its blocks divide that shape.
        part: of each range, from 0 to 1; a number, or one for each of the blocks.
    """
    runs, axes = split(weight, form.blocks), run_axes(weight.ndim)
    # In float64, as a span of float32 may be more than float32 holds.
    low = np.minimum(runs.min(axis=axes, initial=0.0), 0).astype(np.float64) * part
    high = np.maximum(runs.max(axis=axes, initial=0.0), 0).astype(np.float64) * part
    if form.symmetric:
        scales = _positive(np.maximum(-low, high) / form.highest)
        return WeightGrid(form, scales, np.zeros(scales.shape, np.int8))
    scales = _positive((high - low) / (form.highest - form.lowest))
    zero_points = np.clip(np.rint(form.lowest - low / scales), form.lowest, form.highest)
    return WeightGrid(form, scales, zero_points.astype(np.int8))


def nearest(weight: np.ndarray, form: WeightForm) -> IntegerWeight:
    """Each number of a finite float32 weight to the nearest integer, on the finest grid that holds all of them."""
    grid = widest_grid(weight, form)
    return IntegerWeight(grid, grid.nearest(weight))


def _positive(scales: np.ndarray) -> np.ndarray:
    """float32; one where nothing needs a scale."""
    rounded = np.asarray(scales, np.float32)
    return np.where(rounded > 0, rounded, np.float32(1))
