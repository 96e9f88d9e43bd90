"""Strided views against NumPy's own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from edgecompile.passes.strided_view import StridedView

MEMORY = np.arange(2 * 3 * 4 * 5)
SHAPES = [(120,), (6, 20), (2, 3, 4, 5), (2, 12, 5), (1, 2, 3, 20), (6, 1, 20), (24, 5), (3, 40)]


def seen(view: StridedView) -> np.ndarray:
    strides = [stride * MEMORY.itemsize for stride in view.strides]
    return as_strided(MEMORY[view.offset :], view.shape, strides)


@pytest.mark.parametrize("axes", list(itertools.permutations(range(4))))
@pytest.mark.parametrize("shape", SHAPES)
def test_reshape_of_a_permutation(axes: tuple[int, ...], shape: tuple[int, ...]) -> None:
    array = MEMORY.reshape(2, 3, 4, 5).transpose(axes)
    view = StridedView.contiguous((2, 3, 4, 5)).permuted(axes).reshaped(shape)
    expected = array.view()
    try:
        expected.shape = shape  # refused where it would need a copy
    except AttributeError:
        assert view is None
        return
    assert view is not None
    np.testing.assert_array_equal(seen(view), expected)


def test_slices_and_broadcasts() -> None:
    view = StridedView.contiguous((2, 3, 4, 5)).sliced(1, 1, 2).permuted([1, 0, 3, 2])
    np.testing.assert_array_equal(seen(view), MEMORY.reshape(2, 3, 4, 5)[:, 1:3].transpose(1, 0, 3, 2))
    assert view.reshaped((4, 20)) is None
    row = StridedView.contiguous((3, 1, 5)).broadcast((2, 3, 4, 5))
    np.testing.assert_array_equal(seen(row), np.broadcast_to(MEMORY[:15].reshape(3, 1, 5), (2, 3, 4, 5)))
