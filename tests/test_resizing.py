"""Places and weights along one axis."""

from __future__ import annotations

import numpy as np

from edgecompile.resizing import Axis


def test_linear_doubling() -> None:
    places, weights = Axis(3, 6, "linear", "half_pixel", "").taps()
    assert places.tolist() == [[0, 0], [0, 1], [0, 1], [1, 2], [1, 2], [2, 2]]
    np.testing.assert_allclose(weights[:, 1], [0.75, 0.25, 0.75, 0.25, 0.75, 0.25])
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_corners_stay() -> None:
    places, weights = Axis(3, 5, "linear", "align_corners", "").taps()
    assert places.tolist() == [[0, 1], [0, 1], [1, 2], [1, 2], [2, 2]]
    assert weights[:, 1].tolist() == [0, 0.5, 0, 0.5, 0]


def test_the_nearest_of_two_equally_near() -> None:
    """Between pixels 0 and 1, and 2 and 3."""
    by_rounding = {
        rounding: Axis(4, 2, "nearest_neighbor", "half_pixel", rounding).taps()[0].ravel().tolist()
        for rounding in ("round", "round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    }
    assert by_rounding == {
        "round": [0, 2],
        "round_prefer_floor": [0, 2],
        "round_prefer_ceil": [1, 3],
        "floor": [0, 2],
        "ceil": [1, 3],
    }
