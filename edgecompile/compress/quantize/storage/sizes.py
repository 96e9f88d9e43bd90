"""What a weight will take, without encoding it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgecompile.compress.quantize.scheme import LayerScheme
from edgecompile.compress.quantize.storage.blocks import blocks_of
from edgecompile.storage.bit_stream import stream_bytes

_FLOAT_BYTES, _HALF_BYTES = 4, 2


def encoded_bytes(operator: str, shape: Sequence[int], scheme: LayerScheme) -> int:
    """`StoredWeight.nbytes` of a weight of this shape; arguments as of `encode`."""
    weights, count = scheme.weights, math.prod(shape)
    if weights.dtype == "none":
        return count * _FLOAT_BYTES
    if not weights.is_integer:
        return count * _HALF_BYTES
    scales = math.prod(blocks_of(operator, shape, weights))
    if weights.method != "uniform":
        beside = (1 << weights.code_bits) * _FLOAT_BYTES
    else:
        beside = 1 if weights.symmetric else scales
    return stream_bytes(count, weights.code_bits) + scales * _FLOAT_BYTES + beside
