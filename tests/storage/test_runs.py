"""Numbers that runs of elements share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompile.storage.runs import longest_runs, run_axes, split, spread


def test_split_and_spread() -> None:
    array = np.arange(24.0).reshape(4, 6)
    sums = split(array, (2, 3)).sum(axis=run_axes(2))
    np.testing.assert_array_equal(sums, [[0 + 1 + 6 + 7, 2 + 3 + 8 + 9, 4 + 5 + 10 + 11], [62, 70, 78]])
    wide = spread(sums, array.shape)
    assert wide.shape == array.shape
    np.testing.assert_array_equal(wide[2:, :2], 62)


@given(st.lists(st.sampled_from([(1, 1), (1, 3), (2, 1), (2, 2), (3, 2)]), min_size=1, max_size=4))
def test_runs_are_found_again(extents: list[tuple[int, int]]) -> None:
    blocks, shape = [block for block, _ in extents], [block * run for block, run in extents]
    index = np.arange(np.prod(blocks)).reshape(blocks)
    np.testing.assert_array_equal(longest_runs(spread(index, shape)), index)


def test_what_fits_all_does_not_end_a_run() -> None:
    index = np.array([[0, 0, -1, -1], [-1, 1, -1, -1]])
    np.testing.assert_array_equal(longest_runs(index), [[0], [1]])
    np.testing.assert_array_equal(longest_runs(np.full((2, 3), -1)), [[-1]])


@pytest.mark.parametrize("index", [[0, 1, 1, 0], [0, 1, 2]])
def test_no_runs(index: list[int]) -> None:
    np.testing.assert_array_equal(longest_runs(np.array(index)), index)
