"""The numbers of depthwise convolutions of bytes: `IntegerDepthwiseConfig`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu.integers.config import EPILOGUE_INSTRUCTIONS

QUAD = 4  # neighbouring pixels, and taps, of one product
QUAD_CHANNELS = 16
SHIFTS = range(1 - QUAD, QUAD)  # of the taps against the pixels of their quad
_MOST_ROWS, _MOST_QUAD_ROWS = 8, 16  # the more rows, the more of them share the same four pixels
_MOST_SUMS = 16  # registers of them, beside those of factors


@dataclass(frozen=True)
class IntegerDepthwiseConfig:
    """The numbers of the template.

    Attributes:
        rows: pixels of a tile.
        lanes: 32-bit sums of a vector.
        has_quads: four taps are added at once.
        taps: that are added in 16 bits; 1 where each is a product of 32 bits.
    """

    rows: int
    lanes: int
    has_quads: bool
    taps: int = 1

    @property
    def offset(self) -> int:
        """What is added to x."""
        return 128 if self.has_quads else 0

    @staticmethod
    def choose(problem: Convolution, block: int, facts: CpuFacts, lowest_weight: int) -> IntegerDepthwiseConfig:
        """Tiles that come out even where they can, of as many sums as a core has in flight."""
        lanes, taps = facts.vector_bytes // 4, 1
        if facts.multiplies_by_lane and block % (2 * lanes) == 0:  # a register of bytes, or half of one
            lanes, taps = facts.vector_bytes, 2 if lowest_weight > -128 else 1
        while lanes > 1 and block <= lanes // 2:
            lanes //= 2
        has_dots = facts.vector_bytes == 64 and {"avx512_vnni", "avx512vbmi"} <= set(facts.features)
        has_quads = has_dots and block == QUAD_CHANNELS and problem.width >= QUAD and problem.dilations[1] == 1
        width, registers = problem.out_width, max(lanes * 4 // facts.vector_bytes, 1)
        most = min(width, _MOST_QUAD_ROWS if has_quads else _MOST_ROWS, _MOST_SUMS // registers)
        rows = min(range(1, most + 1), key=lambda rows: (math.ceil(width / rows), rows))
        return IntegerDepthwiseConfig(rows, lanes, has_quads, taps)

    def cycles(self, problem: Convolution, facts: CpuFacts) -> float:
        """What one core needs, at two instructions per port and cycle."""
        height, width = problem.kernel
        products = 3 * height * quads_of(width) if self.has_quads else 3 * height * width
        vectors = math.ceil(problem.in_channels / self.lanes) * problem.batch * problem.out_height * problem.out_width
        return vectors * (products + EPILOGUE_INSTRUCTIONS) / (2 * facts.fma_ports)


def quads_of(width: int) -> int:
    """Products of a row of the kernel."""
    return math.ceil(width / QUAD)
