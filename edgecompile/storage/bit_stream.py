"""Codes of 2 to 8 bits, side by side in bytes.

Code i takes the bits from `i * bits` on, counted from the lowest bit of the first byte: two codes of 4 bits have the
first in the lower half. Where codes cross from one byte to the next, one more byte follows the last, so that two bytes
can be read at any code.
"""

from __future__ import annotations

import numpy as np

_BYTE = 8


def stream_bytes(count: int, bits: int) -> int:
    """How many bytes `count` codes of `bits` bits take."""
    return -(-count * bits // _BYTE) + crosses_bytes(bits)


def crosses_bytes(bits: int) -> bool:
    """True where some codes lie in two bytes."""
    return _BYTE % bits != 0


def pack_codes(codes: np.ndarray, bits: int) -> np.ndarray:
    """uint8 `[stream_bytes]` of codes, uint8 of any shape and below 2^bits, in row-major order."""
    flat = np.ascontiguousarray(codes, np.uint8).reshape(-1)
    assert flat.max(initial=0) < 1 << bits, f"a code needs more than {bits} bits"
    single = np.unpackbits(flat[:, None], axis=1, count=bits, bitorder="little")
    packed = np.packbits(single.reshape(-1), bitorder="little")
    return np.concatenate([packed, np.zeros(stream_bytes(flat.size, bits) - packed.size, np.uint8)])


def unpack_codes(stream: np.ndarray, bits: int, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `pack_codes`."""
    count = int(np.prod(shape, dtype=np.int64))
    single = np.unpackbits(stream, count=count * bits, bitorder="little").reshape(count, bits)
    return np.packbits(single, axis=1, bitorder="little").reshape(shape)
