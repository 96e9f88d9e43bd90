"""The numbers of fused attention, chosen by counting cycles and bytes."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgecompile.attention import Attention
from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu.direct.config import FLOAT_BYTES, DirectConfig

MOST_BLOCK_ROWS = 96
MOST_SCORE_BYTES = 128 * 1024  # of a block of rows, on a thread's stack
MOST_STACK_BYTES = 192 * 1024  # with a head's packed keys and values, which go into the arena where that is more
CACHE_BYTES_PER_CYCLE = 32  # from the second-level cache
SOFTMAX_CYCLES = 16  # of one vector: its maximum, its exponential, its sum
GATHER_CYCLES = 1  # of one element where neighbours do not lie side by side


@dataclass(frozen=True)
class AttentionConfig:
    """The numbers of the template.

    Attributes:
        block_rows: queries whose scores wait in the cache together.
        scores: the tile of the first product.
        values: the tile of the second one.
        bands: parts of the queries of a head, one task each; one where the heads keep all cores busy.
    """

    block_rows: int
    scores: DirectConfig
    values: DirectConfig
    bands: int

    def score_bytes(self, keys: int) -> int:
        """Of a block of rows."""
        return self.block_rows * self.padded(keys) * FLOAT_BYTES

    @property
    def lanes(self) -> int:
        return self.scores.lanes

    def padded(self, keys: int) -> int:
        """Scores of a row with what fills its last vector."""
        return math.ceil(keys / self.lanes) * self.lanes

    @staticmethod
    def choose(problem: Attention, facts: CpuFacts) -> AttentionConfig | None:
        """The blocks that take the fewest cycles by counting; None where the scores of one tile are too large."""
        return _choose(problem.rows, problem.keys, problem.width, problem.value_width, problem.heads, facts)

    def cycles(self, problem: Attention, facts: CpuFacts) -> float:
        """What one core needs for all heads."""
        sizes = problem.rows, problem.keys, problem.width, problem.value_width
        packing = problem.keys * problem.width * GATHER_CYCLES + problem.keys * problem.value_width / self.lanes
        softmax = problem.rows * self.padded(problem.keys) / self.lanes * SOFTMAX_CYCLES
        return problem.heads * (_product_cycles(self, *sizes, facts) + softmax + packing)

    @staticmethod
    def from_numbers(numbers: Mapping[str, Any]) -> AttentionConfig:
        """Back from what `dataclasses.asdict` made."""
        tiles = {key: DirectConfig(**numbers[key]) for key in ("scores", "values")}
        return AttentionConfig(block_rows=numbers["block_rows"], bands=numbers["bands"], **tiles)


def separate_cycles(problem: Attention, facts: CpuFacts) -> float:
    """What one core needs with kernels of their own for the transposes, the products and the softmax."""
    rows, keys, width, value_width = problem.rows, problem.keys, problem.width, problem.value_width
    lanes = facts.vector_bytes // FLOAT_BYTES
    products = sum(
        DirectConfig.choose(part, part.in_channels, facts).work(part, facts)
        for part in (Convolution(1, width, keys, 1, rows), Convolution(1, keys, value_width, 1, rows))
    )
    softmax = rows * math.ceil(keys / lanes) * SOFTMAX_CYCLES
    # The scores are written and read by each kernel; queries, keys, values and results once more to be transposed.
    moved = 4 * rows * keys + 2 * (rows + keys) * (width + value_width)
    packing = keys * width * GATHER_CYCLES + (keys * value_width + keys * width) / lanes
    return problem.heads * (products + softmax + packing + moved * FLOAT_BYTES / CACHE_BYTES_PER_CYCLE)


@functools.lru_cache(maxsize=64)
def _choose(rows: int, keys: int, width: int, value_width: int, heads: int, facts: CpuFacts) -> AttentionConfig | None:
    bands = 1 if heads % facts.num_cores == 0 or heads >= 4 * facts.num_cores else facts.num_cores
    best: tuple[float, AttentionConfig] | None = None
    for block in range(1, min(rows, MOST_BLOCK_ROWS) + 1):
        scores = DirectConfig.choose(Convolution(1, width, keys, 1, block), width, facts)
        values = DirectConfig.choose(Convolution(1, keys, value_width, 1, block), keys, facts)
        config = AttentionConfig(block, scores, values, min(bands, math.ceil(rows / block)))
        if config.score_bytes(keys) > MOST_SCORE_BYTES:
            break
        cycles = _product_cycles(config, rows, keys, width, value_width, facts)
        if best is None or cycles < best[0]:
            best = cycles, config
    return best[1] if best else None


def _product_cycles(
    config: AttentionConfig, rows: int, keys: int, width: int, value_width: int, facts: CpuFacts
) -> float:
    """Both products of one head; each block of rows reads the packed keys and values again."""

    def block(extent: int) -> float:
        scores = config.scores.work(Convolution(1, width, keys, 1, extent), facts)
        return scores + config.values.work(Convolution(1, keys, value_width, 1, extent), facts)

    full, rest = divmod(rows, config.block_rows)
    read = keys * (width + value_width) * FLOAT_BYTES / CACHE_BYTES_PER_CYCLE
    return full * (block(config.block_rows) + read) + (block(rest) + read if rest else 0)
