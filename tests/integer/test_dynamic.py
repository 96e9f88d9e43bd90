"""`quantize_rows`: its loops against NumPy, bit for bit, for ordinary rows and for those at the ends of float32."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tvm import relax

from edgecompile.integer import operators
from edgecompile.integer.dynamic import quantize_rows_array

LARGEST = float(np.finfo(np.float32).max)


def odd_rows() -> np.ndarray:
    """`[13, 37]`: whatever a row can hold."""
    rows = np.random.default_rng(1).standard_normal((13, 37)).astype(np.float32)
    rows[1] = 0
    rows[2] = np.abs(rows[2])
    rows[3] = -np.abs(rows[3]) - 5
    rows[4] *= np.float32(LARGEST / 8)
    rows[4, 5] = -LARGEST
    rows[5] *= np.float32(1e-42)  # no normal number
    rows[6] = np.arange(37) - 18 + 0.5  # halves
    rows[6, 0] = 127
    rows[7, 36] = np.nan
    rows[8, 0] = np.inf
    rows[9, 3] = -np.inf
    rows[10] = 7
    rows[11] *= np.float32(2.0**-99)
    rows[12, :3] = (np.nan, np.inf, -1)
    return rows


def by_loops(x: np.ndarray, shared_axes: int) -> tuple[np.ndarray, np.ndarray]:
    builder = relax.BlockBuilder()
    variable = relax.Var("x", relax.TensorType(x.shape, "float32"))
    with builder.function("main", [variable]):
        pair = builder.emit(operators.quantize_rows(variable, shared_axes=shared_axes))
        builder.emit_func_output(pair)
    module = relax.transform.LegalizeOps()(builder.get())
    levels, scales = relax.VirtualMachine(relax.build(module, "llvm"), tvm.cpu())["main"](tvm.runtime.tensor(x))
    return levels.numpy(), scales.numpy()


@pytest.mark.parametrize("shared_axes", [1, 2])
def test_loops_equal_the_reference(shared_axes: int) -> None:
    for x in (odd_rows(), odd_rows()[:5], odd_rows()[5:7, :1]):
        levels, scales = by_loops(x, shared_axes)
        expected_levels, expected_scales = quantize_rows_array(x, shared_axes)
        np.testing.assert_array_equal(levels, expected_levels)
        np.testing.assert_array_equal(scales, expected_scales)
        assert scales.shape == ((len(x), 1) if shared_axes == 1 else (1, 1))


def test_rows_of_all_kinds() -> None:
    levels, scales = quantize_rows_array(odd_rows(), 1)
    zeros = [1, 5, 7, 8, 9, 12]
    assert not levels[zeros].any() and scales[1] == 0
    np.testing.assert_array_equal(np.isnan(scales[:, 0]), [row in (7, 12) for row in range(13)])
    np.testing.assert_array_equal(np.isinf(scales[:, 0]), [row in (8, 9) for row in range(13)])
    others = [row for row in range(13) if row not in zeros]
    np.testing.assert_array_equal(np.abs(levels[others]).max(axis=1), 127)
    assert levels[2].min() >= 0 and levels[3].max() < 0
    np.testing.assert_array_equal(levels[6, 1:5], [-16, -16, -14, -14])  # -16.5, -15.5, ...: halves to even
    np.testing.assert_array_equal(levels[10], 127)


def test_what_a_bad_row_stands_for_is_no_number() -> None:
    levels, scales = quantize_rows_array(odd_rows(), 1)
    with np.errstate(invalid="ignore", over="ignore"):
        real = levels * scales
    np.testing.assert_array_equal(np.isnan(real).all(axis=1), [row in (7, 8, 9, 12) for row in range(13)])
    np.testing.assert_array_equal(np.isnan(real).any(axis=1), np.isnan(real).all(axis=1))


@given(arrays(np.float32, (3, 9), elements=st.floats(-LARGEST, LARGEST, width=32)))
def test_at_most_half_a_step_is_lost(x: np.ndarray) -> None:
    levels, scales = quantize_rows_array(x, 1)
    error = np.abs(levels * scales.astype(np.float64) - x)
    assert (error <= np.maximum(0.5001 * scales.astype(np.float64), 2.0**-100)).all()


@pytest.mark.parametrize(
    ("shape", "dtype", "shared_axes"), [((3, 4), "float32", 0), ((3, 4), "float32", 3), ((3,), "int8", 1)]
)
def test_what_has_no_such_rows_is_refused(shape: tuple[int, ...], dtype: str, shared_axes: int) -> None:
    """A file may say anything."""
    x = relax.Var("x", relax.TensorType(shape, dtype))
    with pytest.raises(ValueError, match=f"from 1 to {len(shape)} shared axes, found .*, {shared_axes}"):
        relax.BlockBuilder().normalize(operators.quantize_rows(x, shared_axes=shared_axes))
