"""The numbers of the Winograd template, chosen by counting cycles and cache bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu.direct.config import FLOAT_BYTES, MEMORY_BYTES_PER_CYCLE, DirectConfig
from schedules.cpu.winograd.error import LONGEST_SUM
from schedules.cpu.winograd.matrices import TAPS


@dataclass(frozen=True)
class WinogradConfig:
    """The numbers of the template.

    Attributes:
        outputs: m of the transform; a tile has m x m results.
        rows, vectors, lanes, neighbours: the tile of a product, as in `DirectConfig`.
        tile_rows: rows of tiles that go through all three steps together; divides their number.
        chunk: input channels whose products are added up before their sum joins the others; divides their number.
    """

    outputs: int
    rows: int
    vectors: int
    lanes: int
    neighbours: int
    tile_rows: int
    chunk: int

    @property
    def size(self) -> int:
        """Rows and columns of a transformed tile."""
        return self.outputs + TAPS - 1

    @property
    def panel(self) -> int:
        """Output channels of a tile of a product."""
        return self.vectors * self.lanes

    def tiles(self, problem: Convolution) -> tuple[int, int]:
        """Rows and columns of tiles of one image."""
        return math.ceil(problem.out_height / self.outputs), math.ceil(problem.out_width / self.outputs)

    @staticmethod
    def choose(problem: Convolution, outputs: int, facts: CpuFacts) -> WinogradConfig:
        """Blocks whose transformed tiles fill half of the second-level cache."""
        size = outputs + TAPS - 1
        height, width = math.ceil(problem.out_height / outputs), math.ceil(problem.out_width / outputs)
        row_bytes = size**2 * width * (problem.in_channels + problem.out_channels) * FLOAT_BYTES
        weight_bytes = size**2 * problem.in_channels * problem.out_channels * FLOAT_BYTES
        tile_rows = choose_tile_rows(height, row_bytes, weight_bytes, facts)
        product = Convolution(1, problem.in_channels, problem.out_channels, 1, tile_rows * width)
        tile = DirectConfig.choose(product, problem.in_channels, facts)
        blocks = problem.in_channels // tile.lanes
        chunk = max(part for part in range(1, blocks + 1) if blocks % part == 0 and part * tile.lanes <= LONGEST_SUM)
        return WinogradConfig(
            outputs, tile.rows, tile.vectors, tile.lanes, tile.neighbours, tile_rows, chunk * tile.lanes
        )

    def cycles(self, problem: Convolution, facts: CpuFacts) -> float:
        """What one core needs: products, transforms, and the weights' way from memory."""
        height, width = self.tiles(problem)
        blocks = problem.batch * height // self.tile_rows
        product = Convolution(1, problem.in_channels, problem.out_channels, 1, self.tile_rows * width)
        tile = DirectConfig(self.rows, self.vectors, self.lanes, 1, True, self.neighbours)
        work = tile.work(product, facts) * self.size**2 * blocks
        weight_bytes = self.size**2 * problem.in_channels * problem.out_channels * FLOAT_BYTES
        reads = weight_bytes * (blocks if weight_bytes > facts.l2_bytes else 1) / MEMORY_BYTES_PER_CYCLE
        vectors = problem.batch * height * width * (problem.in_channels + problem.out_channels) / self.lanes
        transform = 2 * self.size**3 / facts.fma_ports + 4 * self.size**2  # sums; loads and stores
        return work + reads + vectors * transform


def choose_tile_rows(height: int, row_bytes: int, weight_bytes: int, facts: CpuFacts) -> int:
    """How many of `height` rows of tiles make a block, where one has so many transformed bytes."""
    if weight_bytes > facts.l2_bytes:
        return height  # such weights are read again for every block
    parts = [part for part in range(1, height + 1) if height % part == 0]
    return max((part for part in parts if part * row_bytes <= facts.l2_bytes // 2), default=1)


def fits(problem: Convolution, in_block: int, out_block: int, facts: CpuFacts) -> bool:
    """True for 3x3 kernels of stride one between tensors in blocks of one vector."""
    lanes = facts.vector_bytes // FLOAT_BYTES
    plain = problem.strides == problem.dilations == (1, 1) and problem.groups == 1
    return plain and problem.kernel == (TAPS, TAPS) and in_block == out_block == lanes
