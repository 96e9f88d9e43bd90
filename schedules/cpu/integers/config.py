"""The numbers of the integer convolution, chosen by counting instructions and loads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu.direct.config import L2_BYTES_PER_CYCLE, LOADS_PER_CYCLE, MEMORY_BYTES_PER_CYCLE
from schedules.dot_product import DotProduct

DOT_LATENCY = 4  # cycles from sum to sum, as on Zen 4 and later; Intel's and Arm's cores take 4 or 5
ISSUE_PER_CYCLE = 6  # instructions of any kind that x86 cores since Zen 3 and Ice Lake start together
FETCHED_CHANNELS = 16  # of a pixel by one load, where factors are taken from lanes
MOST_VECTORS = 6
MOST_ROWS = 28
# Instructions that turn one vector of sums into bytes: a requantization of some fifteen, and the store.
EPILOGUE_INSTRUCTIONS = 20


@dataclass(frozen=True)
class IntegerConfig:
    """The numbers of the template.

    Attributes:
        dot: the name of the `DotProduct`.
        rows: pixels of a tile.
        vectors: vectors of output channels of a tile; their count in all divides by it.
        lanes: 32-bit sums of a vector.
        pixels_outside: the loop over bands of pixels lies around the one over panels: for weights that fit the cache.
        neighbours: steps whose factors one load brings; 1 where each is broadcast from memory.
    """

    dot: str
    rows: int
    vectors: int
    lanes: int
    pixels_outside: bool
    neighbours: int = 1

    @property
    def panel(self) -> int:
        """Output channels of a tile."""
        return self.vectors * self.lanes

    def cycles(self, problem: Convolution, dot: DotProduct, facts: CpuFacts) -> float:
        """What one core needs: the products, the way of the sums to bytes, and the weights' way from memory."""
        pixels, lines = _lines(problem)
        panels = math.ceil(problem.out_channels / self.panel)
        taps = problem.kernel[0] * problem.kernel[1]
        stores = pixels * lines * panels * self.vectors * EPILOGUE_INSTRUCTIONS / (2 * facts.fma_ports)
        weights = problem.group_channels * problem.out_channels * taps
        return self.products(problem, dot, facts) + stores + weights / MEMORY_BYTES_PER_CYCLE

    def products(self, problem: Convolution, dot: DotProduct, facts: CpuFacts) -> float:
        """Cycles of one core for the products alone, when all operands come in time."""
        pixels, lines = _lines(problem)
        panels = math.ceil(problem.out_channels / self.panel)
        steps = math.ceil(problem.group_channels / dot.group) * problem.kernel[0] * problem.kernel[1]
        multiplied = pixels * self.vectors * dot.multiplies / facts.fma_ports
        line = max(_line_cycles(pixels, self.rows, self.vectors, dot, facts, self.neighbours), multiplied)
        return line * lines * panels * steps

    def vectors_of_a_store(self, facts: CpuFacts, block: int = 0) -> int:
        """Vectors of sums whose bytes fill a register; with `block` channels side by side, those that divide them."""
        for count in (4, 2):
            lanes = count * self.lanes
            if lanes <= facts.vector_bytes and self.vectors % count == 0 and block % lanes == 0:
                return count
        return 1

    @staticmethod
    def choose(
        problem: Convolution, in_block: int, dot: DotProduct, facts: CpuFacts, most_vectors: int = MOST_VECTORS
    ) -> IntegerConfig:
        """The tile that takes the fewest cycles by counting, and the order that keeps the weights near."""
        count = math.ceil(problem.out_channels // problem.groups / dot.lanes)
        pixels, _ = _lines(problem)
        steps = math.ceil(problem.group_channels / dot.group) * problem.kernel[0] * problem.kernel[1]
        step_bytes = dot.group * dot.lanes
        neighbours = dot.words if facts.multiplies_by_lane and in_block >= FETCHED_CHANNELS else 1
        # LLVM unrolls the columns of the kernel around a single step, and keeps factors that several of them share.
        # Factors that are spread first take registers of their own.
        is_kept = bool(dot.spread_instructions) or not facts.multiplies_by_lane
        is_shared = in_block <= dot.group and problem.kernel[1] > problem.strides[1] and is_kept

        def price(tile: tuple[int, int]) -> tuple[float, ...]:
            """Cycles per vector of channels; of equally cheap tiles those that give every core as many panels, then
            few instructions beside the products."""
            rows, vectors = tile
            cycles = _line_cycles(pixels, rows, vectors, dot, facts, neighbours)
            if steps * vectors * step_bytes > facts.l1d_bytes // 2:  # every tile reads them from the next cache
                cycles = max(cycles, math.ceil(pixels / rows) * vectors * step_bytes / L2_BYTES_PER_CYCLE)
            panels = problem.groups * count // vectors
            uneven = math.ceil(panels / facts.num_cores) * facts.num_cores / panels
            # Of pairs for all tiles of a line; otherwise the last ones of a line do not count.
            sizes = strips(pixels, rows) if dot.pixels > 1 else [(0, rows, 1)]
            loads = sum(count * _loads(size, vectors, dot, neighbours) for _, size, count in sizes)
            covered = sum(size * count for _, size, count in sizes)
            others = (loads / covered + dot.spread_instructions) / vectors
            return cycles / vectors, uneven, others

        tiles = [
            (rows, vectors)
            for vectors in range(1, min(count, most_vectors) + 1)
            if count % vectors == 0 and (dot.pixels == 1 or vectors % 2 == 0 or count % 2)  # eight bytes of a store
            for rows in range(1, min(pixels, MOST_ROWS) + 1)
            if registers_needed(rows, vectors, dot, neighbours, problem) + is_shared * rows <= facts.vector_registers
        ]
        rows, vectors = min(tiles, key=price)
        pixels_outside = problem.groups * steps * count * step_bytes <= facts.l2_bytes // 2
        return IntegerConfig(dot.name, rows, vectors, dot.lanes, pixels_outside, neighbours)


def registers_needed(rows: int, vectors: int, dot: DotProduct, neighbours: int, problem: Convolution) -> int:
    """What a tile holds at once: its sums, a step's weights, and its factors.

    Of pairs of pixels, where a step brings no neighbours, columns of the kernel share factors. Without them two
    operands can wait until others are done with; with a stride of two a load brings the pixels between a pair's too.
    """
    held = held_rows(rows, dot)
    if dot.pixels > 1 and neighbours == 1:
        factors = held // dot.pixels * min(problem.strides[1], 2)
        return held * vectors + factors + dot.pixels * vectors - (2 if problem.kernel[1] == 1 else 0)
    factors = held if neighbours > 1 else 0
    return held * vectors + (vectors if neighbours == 1 else 2) + factors + dot.operands


def held_rows(rows: int, dot: DotProduct) -> int:
    """The rows of a tile, and one more where the last pair is not complete."""
    return math.ceil(rows / dot.pixels) * dot.pixels


def _line_cycles(pixels: int, rows: int, vectors: int, dot: DotProduct, facts: CpuFacts, neighbours: int) -> float:
    """Cycles of one step of the reduction over a line of pixels, for one panel."""
    full, rest = divmod(pixels, rows)
    last = _tile_cycles(rest, vectors, dot, facts, neighbours) if rest else 0
    return full * _tile_cycles(rows, vectors, dot, facts, neighbours) + last


def _tile_cycles(rows: int, vectors: int, dot: DotProduct, facts: CpuFacts, neighbours: int) -> float:
    loads = _loads(rows, vectors, dot, neighbours)
    products = held_rows(rows, dot) * vectors
    issued = products * dot.instructions + 2 * loads
    return max(products / facts.fma_ports, loads / LOADS_PER_CYCLE, issued / ISSUE_PER_CYCLE, DOT_LATENCY)


def _loads(rows: int, vectors: int, dot: DotProduct, neighbours: int) -> float:
    """Of one step, of a register each; two pixels' weights take twice as many, and their factors half as many."""
    return held_rows(rows, dot) / (dot.pixels if neighbours == 1 else neighbours) + vectors * dot.pixels


def _lines(problem: Convolution) -> tuple[int, int]:
    """How many pixels lie in a line that tiles run along, and how many such lines there are."""
    if problem.is_pointwise:
        return problem.height * problem.width, problem.batch
    return problem.out_width, problem.out_height * problem.batch


def groups_of(in_block: int, dot: DotProduct) -> int:
    """Steps of a block of input channels; the last may be short of channels, and meets weights of zero there."""
    return math.ceil(in_block / dot.group)


def strips(extent: int, most: int) -> Sequence[tuple[int, int, int]]:
    """`extent` in strips of `most` as (first, size, count)."""
    whole, rest = divmod(extent, most)
    return [*([(0, most, whole)] if whole else []), *([(whole * most, rest, 1)] if rest else [])]
