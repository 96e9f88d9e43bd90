"""The numbers of products of two matrices of bytes: what is multiplied, in which tiles, and what that costs."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu.integers.config import IntegerConfig
from schedules.dot_product import DotProduct

MOST_PACKED_BYTES = 192 * 1024  # a thread's stack holds the packed panel
PACKED_PER_CYCLE = 4  # bytes: a word is loaded and stored in a cycle


@dataclass(frozen=True)
class BatchedNumbers:
    """What the product of a batch is, beside its tensors.

    Attributes:
        zero_point, other_zero_point: of a and of w.
        axes, other_axes: the order in which the dimensions of a make `[*batch, M, K]`, those of w `[*batch, K, N]`;
            the last dimension of a is K.
    """

    zero_point: int
    other_zero_point: int
    axes: tuple[int, ...]
    other_axes: tuple[int, ...]


def choose_batched(
    rows: int, inner: int, columns: int, other_zero_point: int, dot: DotProduct, facts: CpuFacts
) -> IntegerConfig | None:
    """The tile of a product `[rows, inner] @ [inner, columns]`; None where a packed panel would be too large."""
    problem = Convolution(1, inner, columns, 1, rows)
    config = IntegerConfig.choose(problem, inner, dot, facts)
    if other_zero_point:  # the sums of the rows take registers too
        fewer = config.rows * config.vectors // (config.vectors + 1) // dot.pixels * dot.pixels
        config = dataclasses.replace(config, rows=max(fewer, dot.pixels))
    steps = math.ceil(inner / dot.group)
    return config if steps * dot.group * config.panel <= MOST_PACKED_BYTES else None


def batched_cycles(batch_rows: tuple[int, int, int], config: IntegerConfig, dot: DotProduct, facts: CpuFacts) -> float:
    """Of one core for one product of a batch: the products, and a byte of w packed in each cycle.

    Args:
        batch_rows: rows, inner and columns.
    """
    rows, inner, columns = batch_rows
    return config.cycles(Convolution(1, inner, columns, 1, rows), dot, facts) + inner * columns / PACKED_PER_CYCLE
