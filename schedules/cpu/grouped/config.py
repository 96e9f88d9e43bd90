"""The numbers of the grouped convolution, chosen by counting cycles."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu.direct.config import FLOAT_BYTES, FMA_LATENCY, LOADS_PER_CYCLE, MOST_ROWS, MOST_VECTORS

# Of one shuffle on top of its multiply-add, on a Zen 5 server: within quads of lanes, and across a whole vector.
QUAD_SHUFFLE_CYCLES, SHUFFLE_CYCLES = 0.4, 0.9
MOST_SHUFFLED_CHANNELS = 16  # of a group: each has code of its own
MOST_SOURCES = 2  # vectors that one shuffle picks from


@dataclass(frozen=True)
class GroupedConfig:
    """The numbers of the template.

    Attributes:
        rows: pixels of a tile.
        vectors: vectors of output channels of a tile; their count in all divides by it.
        lanes: floats of a vector.
        span: input channels whose products a tile adds up: those of one group where it `shuffles`, otherwise those of
            all groups that its output channels belong to, with zeros for weights across groups.
        shuffles: each lane of a factor is an input of its own group; otherwise one scalar is the factor of all lanes.
        neighbours: input channels of a pixel that one load brings; 1 where every scalar is broadcast from memory.
    """

    rows: int
    vectors: int
    lanes: int
    span: int
    shuffles: bool
    neighbours: int = 1

    @property
    def panel(self) -> int:
        """Output channels of a tile."""
        return self.vectors * self.lanes

    @property
    def name(self) -> str:
        """For people."""
        return f"conv2d_grouped{'_shuffled' if self.shuffles else ''} {self.rows}x{self.panel}"

    def cycles(self, problem: Convolution, facts: CpuFacts) -> float:
        """What one core needs, when all operands come in time."""
        line, lines = lines_of(problem)
        full, rest = divmod(line, self.rows)
        step = full * self._step_cycles(problem, self.rows, facts)
        step += self._step_cycles(problem, rest, facts) if rest else 0
        panels = math.ceil(problem.out_channels / self.panel)
        return problem.batch * lines * panels * math.prod(problem.kernel) * self.span * step

    def _step_cycles(self, problem: Convolution, rows: int, facts: CpuFacts) -> float:
        """Of the products of one input channel with a tile's vectors."""
        products = rows * self.vectors / facts.fma_ports
        if self.shuffles:
            cycles = QUAD_SHUFFLE_CYCLES if _stays_in_quads(problem) else SHUFFLE_CYCLES
            return max(products + rows * self.vectors * cycles, FMA_LATENCY)
        return max(products, (rows / self.neighbours + self.vectors) / LOADS_PER_CYCLE, FMA_LATENCY)

    def first_group(self, problem: Convolution, panel: int) -> int:
        """The first group that a panel reads."""
        return min(panel * self.panel // group_outputs(problem), self.last_group(problem))

    def last_group(self, problem: Convolution) -> int:
        """No panel begins with a later group, for it reads a whole span."""
        return problem.groups - self.span // problem.group_channels

    @staticmethod
    def choose(problem: Convolution, in_block: int, *, shuffles: bool, facts: CpuFacts) -> GroupedConfig | None:
        """The tile that takes the fewest cycles by counting; None where no vector fits the groups."""
        lanes = facts.vector_bytes // FLOAT_BYTES
        found: list[GroupedConfig] = []
        while lanes:
            if not shuffles or fits_shuffles(problem, in_block, lanes):
                found += _tiles(problem, in_block, lanes, shuffles, facts)
            lanes //= 2
        # Of equal ones the largest tile with the longest vectors: it loads the fewest weights.
        return min(
            found,
            key=lambda config: (config.cycles(problem, facts), -config.rows * config.panel, -config.lanes),
            default=None,
        )


def _tiles(problem: Convolution, in_block: int, lanes: int, shuffles: bool, facts: CpuFacts) -> Iterator[GroupedConfig]:
    """All tiles that fit the registers."""
    count = math.ceil(problem.out_channels / lanes)
    line, _ = lines_of(problem)
    for vectors in range(1, min(count, MOST_VECTORS) + 1):
        if count % vectors:
            continue
        span = problem.group_channels if shuffles else _groups_met(problem, vectors * lanes) * problem.group_channels
        run = run_of_channels(span, problem, in_block)
        neighbours = lanes if not shuffles and facts.multiplies_by_lane and run >= lanes else 1
        for rows in range(1, min(line, MOST_ROWS) + 1):
            if _registers(problem, rows, vectors, shuffles, neighbours) <= facts.vector_registers:
                yield GroupedConfig(rows, vectors, lanes, span, shuffles, neighbours)


def _registers(problem: Convolution, rows: int, vectors: int, shuffles: bool, neighbours: int) -> int:
    """What a tile holds at once: its sums, and the operands of one step."""
    if shuffles:
        return 2 * rows * vectors  # the pixels' vectors, which neighbours share, and what says how to shuffle them
    if neighbours == 1:
        return rows * vectors + vectors + 1
    width, step = problem.kernel[1], problem.strides[1]
    pixels = (rows - 1) * step + width if step < width and problem.dilations[1] == 1 else rows
    return rows * vectors + pixels + 2


def _stays_in_quads(problem: Convolution) -> bool:
    """True where every four lanes of outputs read the same four lanes of inputs."""
    return 4 % group_outputs(problem) == 0 and problem.group_channels == group_outputs(problem)


def _groups_met(problem: Convolution, panel: int) -> int:
    """The most groups that the output channels of one panel belong to."""
    outputs, channels = group_outputs(problem), problem.out_channels
    firsts = range(0, channels, panel)
    return max((min(first + panel, channels) - 1) // outputs - first // outputs + 1 for first in firsts)


def fits_shuffles(problem: Convolution, in_block: int, lanes: int) -> bool:
    """True where a vector of outputs spans whole groups, whose inputs are whole vectors in one place each."""
    outputs = group_outputs(problem)
    if lanes <= outputs or lanes % outputs or problem.out_channels % lanes:
        return False
    inputs = lanes // outputs * problem.group_channels
    loaded = min(inputs, lanes)
    return (
        problem.group_channels <= MOST_SHUFFLED_CHANNELS
        and inputs % loaded == 0
        and inputs // loaded <= MOST_SOURCES
        and loaded & (loaded - 1) == 0
        and (in_block == problem.in_channels or in_block % loaded == 0)
    )


def run_of_channels(span: int, problem: Convolution, in_block: int) -> int:
    """How many of `span` input channels, from the first one of a group on, lie side by side wherever it begins."""
    return span if in_block == problem.in_channels else math.gcd(problem.group_channels, in_block)


def group_outputs(problem: Convolution) -> int:
    """Output channels of one group."""
    return problem.out_channels // problem.groups


def lines_of(problem: Convolution) -> tuple[int, int]:
    """How many pixels lie in a line that tiles run along, and how many such lines an image has."""
    if problem.is_pointwise:
        return problem.height * problem.width, 1
    return problem.out_width, problem.out_height
