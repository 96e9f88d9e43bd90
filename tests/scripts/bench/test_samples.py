"""Random inputs that tell networks apart."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.bench.samples import natural_inputs, random_inputs

_EXAMPLES = (np.zeros((1, 3, 33, 20), np.float32), np.array([[3, 7]]), np.zeros((2, 5), np.float32))


def test_a_seed_gives_the_same_inputs_and_another_one_others() -> None:
    first, again, other = (natural_inputs(_EXAMPLES, 3, seed) for seed in (1, 1, 2))
    for arrays, same, different in zip(first, again, other, strict=True):
        assert [(a.shape, a.dtype) for a in arrays] == [(e.shape, e.dtype) for e in _EXAMPLES]
        assert all(np.array_equal(a, b) for a, b in zip(arrays, same, strict=True))
        assert not np.array_equal(arrays[0], different[0])
        assert set(arrays[1].ravel()) <= {3, 7}


def test_only_images_become_pictures() -> None:
    drawn, pictures = random_inputs(_EXAMPLES, 2, 1), natural_inputs(_EXAMPLES, 2, 1)
    assert not np.array_equal(drawn[0][0], pictures[0][0])
    assert np.array_equal(drawn[0][1], pictures[0][1]) and np.array_equal(drawn[1][2], pictures[1][2])


def test_neighbours_are_alike_and_pictures_differ_in_contrast() -> None:
    pictures = np.stack([arrays[0] for arrays in natural_inputs((np.zeros((1, 3, 65, 48), np.float32),), 40, 0)])
    assert pictures.std() == pytest.approx(1.2, rel=0.3)
    steps = np.diff(pictures, axis=-1).std()
    assert steps < 0.8 * pictures.std()  # of white noise it is 1.41
    contrasts = pictures.std((1, 2, 3, 4))
    assert contrasts.max() > 2 * contrasts.min()
