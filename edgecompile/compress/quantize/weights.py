"""The integers of a weight: which grid they are on, and which of its points each number becomes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgecompile.compress.quantize.scheme import INTEGER_BITS, LayerScheme


@dataclass(frozen=True)
class WeightForm:
    """How a layer's weight becomes integers; they are stored as int8 whatever the bits.

    Attributes:
        axis: of the channels that have a scale each; None for one scale.
        lowest, highest: integers.
        symmetric: the zero point is 0.
    """

    axis: int | None
    lowest: int = -127
    highest: int = 127
    symmetric: bool = True

    @staticmethod
    def of(scheme: LayerScheme, axis: int) -> WeightForm:
        """The form that a scheme asks for; `axis` is that of the output channels.

        Symmetric weights leave out the lowest integer, so that both sides reach equally far.
        """
        bits = 7 if scheme.reduce_range else INTEGER_BITS[scheme.weights.dtype]
        highest = (1 << (bits - 1)) - 1
        symmetric = scheme.weights.symmetric
        channel = axis if scheme.weights.granularity == "per_channel" else None
        return WeightForm(channel, -highest if symmetric else -highest - 1, highest, symmetric)


@dataclass(frozen=True)
class WeightGrid:
    """weight = scale * (integer - zero point).

    Attributes:
        form: the axis and the bounds.
        scales: float32 `[]`, or `[channels]`; positive.
        zero_points: int8 of the same shape.
    """

    form: WeightForm
    scales: np.ndarray
    zero_points: np.ndarray

    def steps(self, weight: np.ndarray) -> np.ndarray:
        """float32: where each number is on the grid, between integers and beyond its ends."""
        return weight / self._along(self.scales, weight.ndim) + self._along(self.zero_points, weight.ndim)

    def nearest(self, weight: np.ndarray) -> np.ndarray:
        """int8 of the same shape."""
        return self.bounded(np.rint(self.steps(weight)))

    def bounded(self, steps: np.ndarray) -> np.ndarray:
        """int8 of whole numbers, those beyond the ends at the ends."""
        return np.clip(steps, self.form.lowest, self.form.highest).astype(np.int8)

    def real(self, integers: np.ndarray) -> np.ndarray:
        """float32 of the same shape."""
        centred = integers.astype(np.float32) - self._along(self.zero_points, integers.ndim)
        return np.asarray(centred * self._along(self.scales, integers.ndim), np.float32)

    def _along(self, parameter: np.ndarray, rank: int) -> np.ndarray:
        if not parameter.ndim:
            return parameter
        return parameter.reshape([-1 if axis == self.form.axis else 1 for axis in range(rank)])


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
        weight: float32 of any shape, finite.
        part: of each range, from 0 to 1; a number, or `[channels]`.
    """
    others = None if form.axis is None else tuple(axis for axis in range(weight.ndim) if axis != form.axis)
    low = np.minimum(weight.min(axis=others, initial=0.0), 0).astype(np.float64) * part
    high = np.maximum(weight.max(axis=others, initial=0.0), 0).astype(np.float64) * part
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
