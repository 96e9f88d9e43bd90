"""The numbers of the integer Winograd template, chosen by counting instructions and cache bytes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu.direct.config import MEMORY_BYTES_PER_CYCLE
from schedules.cpu.integers.config import EPILOGUE_INSTRUCTIONS, MOST_VECTORS, IntegerConfig
from schedules.cpu.winograd.config import choose_tile_rows
from schedules.cpu.winograd.matrices import TAPS
from schedules.dot_product import DotProduct

WORD_BYTES, SUM_BYTES = 2, 4
# Output channels: the first-level cache holds a frequency's weights of a panel, those on their way to it, and
# the transformed tiles. Twice as many take 11 % longer for 128 channels on a Zen 5 server.
MOST_PANEL = 32
MOST_TRANSFORM_LANES = 16  # channels transformed together: all that a block of x has side by side


@dataclass(frozen=True)
class IntegerWinogradConfig:
    """The numbers of the template.

    Attributes:
        outputs: m of the transform; a tile has m x m results.
        tile_rows: rows of tiles that go through all three steps together; divides their number.
        tile: of the products, whose pixels are tiles.
    """

    outputs: int
    tile_rows: int
    tile: IntegerConfig

    @property
    def size(self) -> int:
        """Rows and columns of a transformed tile."""
        return self.outputs + TAPS - 1

    @staticmethod
    def choose(
        problem: Convolution, outputs: int, in_block: int, dot: DotProduct, facts: CpuFacts
    ) -> IntegerWinogradConfig:
        """Blocks whose transformed tiles fill half of the second-level cache."""
        size = outputs + TAPS - 1
        height, width = math.ceil(problem.out_height / outputs), math.ceil(problem.out_width / outputs)
        row_bytes = size**2 * width * (problem.in_channels * WORD_BYTES + problem.out_channels * SUM_BYTES)
        weight_bytes = size**2 * problem.in_channels * problem.out_channels * WORD_BYTES
        tile_rows = choose_tile_rows(height, row_bytes, weight_bytes, facts)
        product = Convolution(1, problem.in_channels, problem.out_channels, 1, tile_rows * width)
        most_vectors = min(MOST_VECTORS, max(1, MOST_PANEL // dot.lanes))
        tile = IntegerConfig.choose(product, in_block, dot, facts, most_vectors)
        return IntegerWinogradConfig(outputs, tile_rows, tile)

    @staticmethod
    def from_numbers(numbers: Mapping[str, Any]) -> IntegerWinogradConfig:
        """The inverse of `dataclasses.asdict`."""
        return IntegerWinogradConfig(**{**numbers, "tile": IntegerConfig(**numbers["tile"])})

    @property
    def key(self) -> dict[str, Any]:
        """As JSON holds it."""
        return dataclasses.asdict(self)

    def cycles(self, problem: Convolution, dot: DotProduct, facts: CpuFacts) -> float:
        """What one core needs: products, transforms, the way of the sums to bytes, and the weights' from memory."""
        height, width = math.ceil(problem.out_height / self.outputs), math.ceil(problem.out_width / self.outputs)
        blocks = problem.batch * height // self.tile_rows
        product = Convolution(1, problem.in_channels, problem.out_channels, 1, self.tile_rows * width)
        work = self.tile.products(product, dot, facts) * self.size**2 * blocks
        weight_bytes = self.size**2 * problem.in_channels * problem.out_channels * WORD_BYTES
        reads = weight_bytes * (blocks if weight_bytes > facts.l2_bytes else 1) / MEMORY_BYTES_PER_CYCLE
        words = min(MOST_TRANSFORM_LANES, facts.vector_bytes // WORD_BYTES)
        vectors = math.ceil(problem.in_channels / words) + math.ceil(problem.out_channels / self.tile.lanes)
        moved = problem.batch * height * width * vectors
        transform = self.size**3 / facts.fma_ports + 4 * self.size**2  # sums; loads and stores
        results = problem.batch * problem.out_height * problem.out_width
        stores = results * math.ceil(problem.out_channels / self.tile.lanes) * EPILOGUE_INSTRUCTIONS
        return work + reads + moved * transform + stores / (2 * facts.fma_ports)


def fits_integers(problem: Convolution, in_block: int) -> bool:
    """True for 3x3 kernels of stride one on tensors in whole blocks of pairs of channels."""
    plain = problem.strides == problem.dilations == (1, 1) and problem.groups == 1
    return plain and problem.kernel == (TAPS, TAPS) and problem.in_channels % in_block == 0 and in_block % 2 == 0
