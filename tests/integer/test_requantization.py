"""The arithmetic of requantization: against exact fractions, and compiled against its own definition."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import tvm
from hypothesis import given
from hypothesis import strategies as st
from tvm import te

from edgecompile.integer.formulas import channel_of_axis, requantize
from edgecompile.integer.requantization import LEAST_SHIFT, FixedPoint, scale_array

SCALES = st.floats(min_value=2.0**-40, max_value=2.0**13, allow_nan=False)
SUMS = st.integers(min_value=-(2**31) + 1, max_value=2**31 - 1)


def exact(value: int, multiplier: int, shift: int) -> int:
    """Rounded to nearest, halves away from zero, by fractions."""
    size = Fraction(abs(value) * multiplier, 2**shift)
    whole = int(size + Fraction(1, 2))
    return -whole if value < 0 else whole


@given(SCALES, SUMS)
def test_definition(scale: float, value: int) -> None:
    factor = FixedPoint.of(scale)
    got = scale_array(np.array(value), factor.multiplier, factor.shift)
    assert int(got) == exact(value, int(factor.multiplier), int(factor.shift))


@given(SCALES)
def test_relative_error_of_the_multiplier(scale: float) -> None:
    factor = FixedPoint.of(scale)
    if factor.multiplier:
        assert 2**14 < int(factor.multiplier) < 2**15 and factor.multiplier % 2
        assert abs(float(factor.real) / scale - 1) <= 2.0**-14
    else:
        assert scale * 2**31 <= 1


@pytest.mark.parametrize("scale", [0.0, 2.0**-60])
def test_scales_that_make_zero_of_everything(scale: float) -> None:
    factor = FixedPoint.of(scale)
    assert scale_array(np.array([2**31 - 1, -(2**31) + 1]), factor.multiplier, factor.shift).tolist() == [0, 0]


def compiled(sums: np.ndarray, factor: FixedPoint, zero_point: int, low: int, high: int) -> np.ndarray:
    """The formula for `[channels, n]` sums, by LLVM."""
    channels = factor.multiplier.shape[0]
    x = te.placeholder(sums.shape, "int32", "x")
    multiplier = te.placeholder((channels,), "int32", "multiplier")
    places = te.placeholder((channels,), "uint8", "places")
    result = requantize(
        x, multiplier, places, channel_of_axis(0), 0, zero_point, low, high, "int8", is_short=factor.is_short
    )
    library = tvm.compile(te.create_prim_func([x, multiplier, places, result]), target="llvm")
    out = tvm.runtime.tensor(np.zeros(sums.shape, np.int8))
    library(*(tvm.runtime.tensor(array) for array in (sums, factor.multiplier, factor.places)), out)
    return out.numpy()


@pytest.mark.parametrize("scales", [(1e-4, 0.003, 0.2, 2.0**-30), (0.3, 1e-3, 900.0, 16000.0)])
@pytest.mark.parametrize(("zero_point", "low", "high"), [(-128, -128, 127), (0, 0, 127), (11, -5, 90)])
def test_compiled(scales: tuple[float, ...], zero_point: int, low: int, high: int) -> None:
    """Sums near every rounding boundary of each channel, and the ends of int32."""
    factor = FixedPoint.of(np.array(scales))
    assert factor.is_short == (max(scales) < 0.25)
    steps = np.arange(-300, 300) + 0.5
    rows = []
    for multiplier, shift in zip(factor.multiplier.tolist(), factor.shift.tolist(), strict=True):
        middle = np.clip(np.rint(steps * 2.0**shift / multiplier), -(2**31) + 2, 2**31 - 2).astype(np.int64)
        rows.append(np.concatenate([middle - 1, middle, middle + 1, [2**31 - 1, -(2**31) + 1, 0]]))
    sums = np.array(rows, np.int64).astype(np.int32)
    scaled = scale_array(sums, factor.multiplier[:, None], factor.shift[:, None])
    expected = np.clip(scaled + zero_point, low, high)
    np.testing.assert_array_equal(compiled(sums, factor, zero_point, low, high), expected)


def test_places_say_the_shift() -> None:
    for scale in (1e-3, 0.5):
        factor = FixedPoint.of(np.array([scale]))
        assert FixedPoint.shift_of(factor.places, is_short=factor.is_short).tolist() == factor.shift.tolist()
    assert FixedPoint.of(0.2499).shift == LEAST_SHIFT
