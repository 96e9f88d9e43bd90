"""Reading a tensor between its points, as tensor-expression building blocks for GridSample, DeformConv and RoiAlign."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeAlias

from tvm import te, tirx

Element: TypeAlias = Any  # a TIR expression of one element


def element_dtype(x: Element) -> str:
    """The dtype of a TIR expression."""
    return str(x.ty)


def constant(value: float, dtype: str) -> Element:
    """A TIR number."""
    return tirx.const(value, dtype)


def product(factors: Sequence[Element], dtype: str) -> Element:
    """The product of the factors; 1 for none."""
    result = constant(1, dtype)
    for factor in factors:
        result = result * factor
    return result


def clamp(x: Element, low: Element, high: Element) -> Element:
    """`x` within [low, high]; never outside, not even where x is not a number."""
    return te.min(te.max(x, low), high)


def reflect(x: Element, low: float, high: float, dtype: str) -> Element:
    """`x` mirrored at `low` and `high` until it lies between them."""
    span = high - low
    if span <= 0:
        return constant(low, dtype)
    period = constant(2 * span, dtype)
    distance = te.abs(x - constant(low, dtype))
    rest = distance - te.floor(distance / period) * period
    return constant(low, dtype) + te.min(rest, period - rest)


def point(
    data: te.Tensor, prefix: Sequence[Element], position: Sequence[Element], padding: str, align: bool
) -> Element:
    """The value at an integer `position` (given as float) behind the leading indices; outside by `padding`.

    Args:
        padding: "zeros", "border" (the nearest point) or "reflection" (mirrored at the outer points, unless `align`
            half a step further out).
    """
    dtype = element_dtype(position[0])
    sizes = [int(size) for size in data.shape[len(prefix) :]]
    indices, inside = [], tirx.const(True, "bool")
    for x, size in zip(position, sizes, strict=True):
        low, high = constant(0, dtype), constant(size - 1, dtype)
        if padding == "reflection":
            x = reflect(x, *edges(size, align), dtype)
        elif padding == "zeros":
            inside = tirx.all(inside, x >= low, x <= high)
        indices.append(clamp(x, low, high).astype("int32"))
    value = data(*prefix, *indices)
    return tirx.Select(inside, value, constant(0, str(data.dtype))) if padding == "zeros" else value


def edges(size: int, align: bool) -> tuple[float, float]:
    """Where an axis begins and ends: at the centres of its outer points, or half a step further out."""
    return (0.0, size - 1.0) if align else (-0.5, size - 0.5)


def linear(
    data: te.Tensor, prefix: Sequence[Element], position: Sequence[Element], padding: str = "zeros", align: bool = False
) -> Element:
    """The multilinear interpolation of `data` at a fractional `position`."""
    dtype = str(data.dtype)
    floors = [te.floor(x) for x in position]
    fractions = [(x - below).astype(dtype) for x, below in zip(position, floors, strict=True)]
    total = constant(0, dtype)
    for corner in itertools.product((0, 1), repeat=len(position)):
        at = [below + constant(bit, element_dtype(below)) for below, bit in zip(floors, corner, strict=True)]
        weights = [
            fraction if bit else constant(1, dtype) - fraction for fraction, bit in zip(fractions, corner, strict=True)
        ]
        total = total + product(weights, dtype) * point(data, prefix, at, padding, align)
    return total


def cubic_weights(fraction: Element, dtype: str) -> list[Element]:
    """The weights of the points at -1, 0, 1, 2 by Keys' cubic convolution with a = -0.75."""
    a = constant(-0.75, dtype)
    one, two, three = (constant(number, dtype) for number in (1, 2, 3))

    def near(d: Element) -> Element:
        return ((a + two) * d - (a + three)) * d * d + one

    def far(d: Element) -> Element:
        return ((a * d - constant(5, dtype) * a) * d + constant(8, dtype) * a) * d - constant(4, dtype) * a

    return [far(fraction + one), near(fraction), near(one - fraction), far(two - fraction)]


def cubic(
    data: te.Tensor, prefix: Sequence[Element], position: Sequence[Element], padding: str, align: bool
) -> Element:
    """The multicubic interpolation of `data` at a fractional `position`."""
    dtype = str(data.dtype)
    floors = [te.floor(x) for x in position]
    weights = [cubic_weights((x - below).astype(dtype), dtype) for x, below in zip(position, floors, strict=True)]
    total = constant(0, dtype)
    for taps in itertools.product(range(4), repeat=len(position)):
        at = [below + constant(tap - 1, element_dtype(below)) for below, tap in zip(floors, taps, strict=True)]
        weight = product([axis[tap] for axis, tap in zip(weights, taps, strict=True)], dtype)
        total = total + weight * point(data, prefix, at, padding, align)
    return total


def nearest(
    data: te.Tensor, prefix: Sequence[Element], position: Sequence[Element], padding: str, align: bool
) -> Element:
    """The value at the nearest point; halves go to the even one."""
    return point(data, prefix, [tirx.nearbyint(x) for x in position], padding, align)
