"""What stored weights stand for, and what moves with their elements."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgecompile.storage.stored_weight import CodedWeight, SparseWeight, StoredWeight
from tests.storage.weights import one_of_each, table, uniform

WEIGHTS = one_of_each()


def test_uniform_codes() -> None:
    weight = CodedWeight(
        np.array([[0, 3], [8, 15]], np.uint8),
        4,
        np.array([[0.5], [2.0]], np.float32),
        zero_point=np.array([[3], [8]], np.uint8),
    )
    np.testing.assert_array_equal(weight.decode(), np.array([[-1.5, 0], [0, 14]], np.float32))
    assert weight.decode().dtype == np.float32
    assert weight.nbytes == 2 + 8 + 2


def test_a_table() -> None:
    entries = np.array([-1, 0.25, 0.5, 2], np.float32)
    weight = CodedWeight(np.array([[0, 1, 3]], np.uint8), 2, np.array([[4]], np.float32), table=entries)
    np.testing.assert_array_equal(weight.decode(), [[-4, 1, 8]])
    assert weight.nbytes == 1 + 4 + 16


def _panels(weight: np.ndarray) -> np.ndarray:
    """[6, 4, 3, 3] -> [2, 4, 3, 3, 4]: panels of four output channels, with zeros beyond the sixth."""
    padded = np.zeros((8, *weight.shape[1:]), weight.dtype)
    padded[:6] = weight
    return padded.reshape(2, 4, 4, 3, 3).transpose(0, 2, 3, 4, 1)


def _wider_input(weight: np.ndarray) -> np.ndarray:
    """[6, 4, 3, 3] -> [6, 3, 3, 7]: zeros beyond the fourth input channel."""
    padded = np.zeros((6, 7, 3, 3), weight.dtype)
    padded[:, :4] = weight
    return np.ascontiguousarray(padded.transpose(0, 2, 3, 1))


MOVEMENTS = [_panels, _wider_input, lambda weight: weight.reshape(3, -1), lambda weight: weight[::-1].copy()]


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("movement", MOVEMENTS)
def test_moving_codes_is_moving_weights(name: str, movement: Callable[[np.ndarray], np.ndarray]) -> None:
    weight: StoredWeight = WEIGHTS[name]
    moved = weight.moved(movement)
    np.testing.assert_array_equal(moved.decode(), movement(weight.decode()))
    assert moved.decode().dtype == np.float32


def scales(weight: CodedWeight) -> tuple[int, ...]:
    return weight.moved(_panels).scale.shape


def test_scales_stay_as_few_as_they_were() -> None:
    """Beside those of channels that fill up a panel."""
    shape = (6, 4, 3, 3)
    assert scales(uniform(shape, (6, 1, 1, 1), 4)) == (2, 1, 1, 1, 4)
    assert scales(uniform(shape, (6, 2, 1, 1), 4)) == (2, 2, 1, 1, 4)
    # Where zero is a code, no scale must tell what is filled up.
    assert scales(uniform(shape, (1, 1, 1, 1), 8)) == (1, 1, 1, 1, 1)
    assert scales(table(shape, (1, 1, 1, 1), 4, has_zero=True)) == (1, 1, 1, 1, 1)
    assert scales(table(shape, (1, 1, 1, 1), 4, has_zero=False)) == (2, 1, 1, 1, 2)


def test_a_sparse_weight_keeps_every_bit() -> None:
    """The least number, a negative zero, and what is no number."""
    weight = np.array([[0, 1e-45, -0.0], [np.nan, 0, -np.inf]], np.float32)
    sparse = SparseWeight.of(weight)
    np.testing.assert_array_equal(sparse.decode().view(np.uint32), weight.view(np.uint32))
    assert sparse.nbytes == 1 + 4 * 4 and sparse.float_bytes == 24
    padded = sparse.moved(lambda array: np.pad(array.T, ((0, 1), (0, 0))))
    np.testing.assert_array_equal(padded.decode(), np.pad(weight.T, ((0, 1), (0, 0))))
    assert padded.values.size == 4


def test_a_sparse_weight_of_zeros_and_of_integers() -> None:
    zeros = SparseWeight.of(np.zeros((3, 5), np.float32))
    assert zeros.values.tolist() == [0.0] and not zeros.decode().any()
    integers = np.array([[0, -128, 0, 127]], np.int8)
    sparse = SparseWeight.of(integers)
    np.testing.assert_array_equal(sparse.decode(), integers)
    assert sparse.decode().dtype == np.int8 and sparse.nbytes == 3 and sparse.float_bytes == 4
