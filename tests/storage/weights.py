"""Stored weights of every kind."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from edgecompile.storage.stored_weight import CodedWeight, HalfWeight, SparseWeight, StoredWeight


def uniform(
    shape: tuple[int, ...], blocks: tuple[int, ...], bits: int, *, shared_zero: bool = True, seed: int = 0
) -> CodedWeight:
    """Random codes, scales and zero points."""
    random = np.random.default_rng(seed)
    zeros = random.integers(0, 1 << bits, [1] * len(shape) if shared_zero else blocks)
    return CodedWeight(
        random.integers(0, 1 << bits, shape).astype(np.uint8),
        bits,
        random.uniform(0.5, 2, blocks).astype(np.float32),
        zero_point=zeros.astype(np.uint8),
    )


def table(shape: tuple[int, ...], blocks: tuple[int, ...], bits: int, *, has_zero: bool, seed: int = 0) -> CodedWeight:
    """Random codes, scales and entries."""
    random = np.random.default_rng(seed)
    entries = np.sort(random.uniform(0.1, 1, 1 << bits)).astype(np.float32)
    if has_zero:
        entries[1] = 0
    codes = random.integers(0, 1 << bits, shape).astype(np.uint8)
    return CodedWeight(codes, bits, random.uniform(0.5, 2, blocks).astype(np.float32), table=entries)


def half(shape: tuple[int, ...], dtype: str) -> HalfWeight:
    """Random numbers, the smallest ones among them."""
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    values.reshape(-1)[:3] = [0.0, 6e-8, -65504.0]  # zero, float16's least, float16's largest
    return HalfWeight(values.astype(np.float16 if dtype == "float16" else ml_dtypes.bfloat16))


def sparse(shape: tuple[int, ...], share: float) -> SparseWeight:
    """Random float32, a share of them zero; the first one a negative zero, which is kept."""
    random = np.random.default_rng(0)
    values = np.where(random.random(shape) < share, 0, random.standard_normal(shape)).astype(np.float32)
    values.reshape(-1)[:1] = -0.0
    return SparseWeight.of(values)


def one_of_each() -> dict[str, StoredWeight]:
    """By a name: shapes [6, 4, 3, 3], the blocks of every granularity, codes that cross bytes and that do not."""
    shape = (6, 4, 3, 3)
    return {
        "int8 per tensor": uniform(shape, (1, 1, 1, 1), 8),
        "int4 per channel": uniform(shape, (6, 1, 1, 1), 4),
        "int4 in groups, asymmetric": uniform(shape, (6, 2, 1, 1), 4, shared_zero=False),
        "three bits": uniform(shape, (6, 1, 1, 1), 3),
        "codebook": table(shape, (6, 1, 1, 1), 4, has_zero=False),
        "codebook of five bits": table(shape, (1, 1, 1, 1), 5, has_zero=True),
        "float16": half(shape, "float16"),
        "bfloat16": half(shape, "bfloat16"),
        "sparse": sparse(shape, 0.7),
    }
