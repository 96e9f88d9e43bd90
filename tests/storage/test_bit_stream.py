"""Codes side by side in bytes."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.storage.bit_stream import pack_codes, stream_bytes, unpack_codes


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("shape", [(0, 3), (1,), (7,), (3, 5, 2), (64,)])
def test_every_code_comes_back(bits: int, shape: tuple[int, ...]) -> None:
    codes = np.random.default_rng(bits).integers(0, 1 << bits, shape).astype(np.uint8)
    stream = pack_codes(codes, bits)
    assert stream.dtype == np.uint8 and stream.shape == (stream_bytes(codes.size, bits),)
    np.testing.assert_array_equal(unpack_codes(stream, bits, shape), codes)


def test_the_first_code_is_in_the_lowest_bits() -> None:
    assert pack_codes(np.array([1, 2, 3], np.uint8), 4).tolist() == [0x21, 0x03]
    # 5 = 101, 6 = 110, 7 = 111: 11|110|101 and then 1, and a byte to read beyond.
    assert pack_codes(np.array([5, 6, 7], np.uint8), 3).tolist() == [0b11110101, 0b1, 0]


def test_codes_that_do_not_fit() -> None:
    with pytest.raises(AssertionError, match="more than 3 bits"):
        pack_codes(np.array([8], np.uint8), 3)
