"""The numbers of the direct convolution, chosen by counting cycles and cache bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

FLOAT_BYTES = 4
LOADS_PER_CYCLE = 2  # vector loads that x86 cores since Haswell and Arm cores since Cortex-A72 start together
FMA_LATENCY = 4  # cycles, as on every core since Skylake, Zen and Cortex-A76
# What one core reads of weights that no cache kept since the last inference. With it the sum of work and reading is
# within 15 % of what each layer of ResNet-18 took on a Zen 5 server.
MEMORY_BYTES_PER_CYCLE = 8
# With fewer free ones products of matrices ran 1 to 3 % slower there; of 16 registers sums need every one: 8 vectors of
# them reach 84 % of the peak, 12 reach 98 %.
FREE_REGISTERS, MANY_REGISTERS = 3, 32
L2_BYTES_PER_CYCLE = 20  # measured there too, by tiles of few rows
FEW_CHANNELS = 4  # of a block: LLVM unrolls the loop over them, and the one over the columns of the kernel around it
# Products that one accumulator adds up before its sum joins the others. The error of a sum grows with the root of its
# length: with 25,088 products in one sum, VGG-16 had 4 times the error of ONNX Runtime.
LONGEST_SUM = 1024
MOST_VECTORS = 6
MOST_ROWS = 28


@dataclass(frozen=True)
class DirectConfig:
    """The numbers of the template.

    Attributes:
        rows: pixels of a tile.
        vectors: vectors of output channels of a tile; their count in all divides by it.
        lanes: floats of a vector.
        chunk: blocks of input channels whose weights are used for all pixels before the next ones are; divides the
            number of blocks.
        pixels_outside: the loop over bands of pixels lies around the one over panels: for weights that fit the cache.
        neighbours: values of x that one load brings, of a pixel's channels or of a line's pixels, whichever lie side by
            side; 1 where every scalar is broadcast from memory.
    """

    rows: int
    vectors: int
    lanes: int
    chunk: int
    pixels_outside: bool
    neighbours: int = 1

    @property
    def panel(self) -> int:
        """Output channels of a tile."""
        return self.vectors * self.lanes

    def cycles(self, problem: Convolution, facts: CpuFacts) -> float:
        """What one core needs: the work, and the weights' way from memory."""
        weights = problem.group_channels * problem.out_channels * problem.kernel[0] * problem.kernel[1]
        return self.work(problem, facts) + weights * FLOAT_BYTES / MEMORY_BYTES_PER_CYCLE

    def work(self, problem: Convolution, facts: CpuFacts) -> float:
        """Cycles of one core when all operands come in time."""
        pixels, lines = _lines(problem)
        panels = math.ceil(problem.out_channels / self.panel)
        steps = problem.group_channels * problem.kernel[0] * problem.kernel[1]
        return _cycles(pixels, self.rows, self.vectors, self.neighbours, facts) * lines * panels * steps

    @staticmethod
    def choose(problem: Convolution, in_block: int, facts: CpuFacts) -> DirectConfig:
        """The tile that takes the fewest cycles by counting, and the order that keeps the weights near."""
        lanes = facts.vector_bytes // FLOAT_BYTES
        while lanes > 1 and problem.out_channels <= lanes // 2:
            lanes //= 2  # a shorter vector that holds all channels takes the same time and less weight
        count = math.ceil(problem.out_channels / lanes)
        has_neighbours = in_block >= lanes or (in_block == 1 and not problem.is_pointwise)
        neighbours = lanes if facts.multiplies_by_lane and has_neighbours else 1
        pixels, _ = _lines(problem)

        steps = problem.group_channels * problem.kernel[0] * problem.kernel[1]

        def price(tile: tuple[int, int]) -> tuple[float, ...]:
            """Cycles per vector of channels; of equally cheap tiles those that give every core as many panels, then
            what else was measured to be faster: some free registers and few loads, or else the most sums."""
            rows, vectors = tile
            cycles = _cycles(pixels, rows, vectors, neighbours, facts)
            if (
                steps * vectors * lanes * FLOAT_BYTES > facts.l1d_bytes // 2
            ):  # every tile reads them from the next cache
                cycles = max(cycles, math.ceil(pixels / rows) * vectors * lanes * FLOAT_BYTES / L2_BYTES_PER_CYCLE)
            panels = count // vectors
            uneven = math.ceil(panels / facts.num_cores) * facts.num_cores / panels
            tight, loads = 0.0, 0.0
            if problem.is_pointwise and neighbours == 1:
                needed = registers_needed(problem, in_block, rows, vectors, neighbours)
                free = FREE_REGISTERS if facts.vector_registers >= MANY_REGISTERS else 0
                tight, loads = float(needed > facts.vector_registers - free), 1 / rows + 1 / vectors
            return cycles / vectors, uneven, tight, loads, -rows * vectors, rows

        tiles = (
            (rows, vectors)
            for vectors in range(1, min(count, MOST_VECTORS) + 1)
            if count % vectors == 0
            for rows in range(1, min(pixels, MOST_ROWS) + 1)
            if registers_needed(problem, in_block, rows, vectors, neighbours) <= facts.vector_registers
        )
        rows, vectors = min(tiles, key=price)
        taps = problem.kernel[0] * problem.kernel[1]
        blocks = problem.in_channels // in_block
        weight_bytes = blocks * in_block * taps * count * lanes * FLOAT_BYTES
        panel_bytes = weight_bytes * vectors // count
        pixels_outside = weight_bytes <= facts.l2_bytes // 2
        panel_limit = math.inf if pixels_outside else facts.l2_bytes // 3
        chunks = exact_chunks(problem, in_block)
        chunk = max((part for part in chunks if panel_bytes * part // blocks <= panel_limit), default=1)
        return DirectConfig(rows, vectors, lanes, chunk, pixels_outside, neighbours)


def exact_chunks(problem: Convolution, in_block: int) -> Sequence[int]:
    """The numbers of blocks of input channels that one sum may hold, ascending; at least one block."""
    products = in_block * problem.kernel[0] * problem.kernel[1]
    return [part for part in _divisors(problem.in_channels // in_block) if part == 1 or part * products <= LONGEST_SUM]


def product_block(channels: int) -> int:
    """Input channels of a product whose weights lie together: chunks of them can end behind each block.

    The largest divisor up to `LONGEST_SUM`; all channels where only small ones divide them, whose loops would not pay.
    """
    block = max(part for part in _divisors(channels) if part <= LONGEST_SUM)
    return block if block >= LONGEST_SUM // 4 else channels


def registers_needed(problem: Convolution, in_block: int, rows: int, vectors: int, neighbours: int) -> int:
    """What a tile holds at once: its sums, and the operands of one step.

    LLVM unrolls the columns of a kernel, and keeps the pixels that several of them meet.
    """
    width, step, dilation = problem.kernel[1], problem.strides[1], problem.dilations[1]
    if neighbours == 1:
        shares = in_block <= FEW_CHANNELS and width > 1
        # Measured: with more sums than half of the registers, what is shared makes it spill.
        return 2 * rows * vectors if shares else rows * vectors + vectors + 1
    if in_block == 1:  # a line of pixels in vectors
        factors = math.ceil(((rows - 1) * step + (width - 1) * dilation + 1) / neighbours)
    elif step < width and dilation == 1:  # a vector of channels for each pixel that is met
        factors = (rows - 1) * step + width
    else:
        factors = rows
    return rows * vectors + factors + 2  # weights are loaded in pairs


def _cycles(pixels: int, rows: int, vectors: int, neighbours: int, facts: CpuFacts) -> float:
    """Cycles of one step of the reduction over a line of pixels, for one panel."""
    full, rest = divmod(pixels, rows)
    tail = _tile_cycles(rest, vectors, neighbours, facts) if rest else 0
    return full * _tile_cycles(rows, vectors, neighbours, facts) + tail


def _tile_cycles(rows: int, vectors: int, neighbours: int, facts: CpuFacts) -> float:
    loads = rows / neighbours + vectors
    return max(rows * vectors / facts.fma_ports, loads / LOADS_PER_CYCLE, FMA_LATENCY)


def _lines(problem: Convolution) -> tuple[int, int]:
    """How many pixels lie in a line that tiles run along, and how many such lines there are."""
    if problem.is_pointwise:
        return problem.height * problem.width, problem.batch
    return problem.out_width, problem.out_height * problem.batch


def _divisors(number: int) -> list[int]:
    return [part for part in range(1, number + 1) if number % part == 0]
