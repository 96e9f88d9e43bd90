"""Grouped convolution on channel-blocked tensors: each output channel reads the inputs of its own group.

    y[n, k, h, w] = sum over c, i, j of  x[n, group(k)*C/G + c, h*s + i*d - p, w*s + j*d - p] * weight[k, c, i, j]

Where the channels of a vector belong to one group, or to few, a scalar of x is the factor of all lanes:

    for image, panel, line in parallel(...):       # a panel: `vectors` vectors of output channels
        for tile in ...:                           # rows pixels along the width
            for i, j, c in kernel, channels of the panel's groups:
                for row, v in unrolled(rows, vectors):
                    sums[row, v] += x[..., c] * weight[panel, i, j, c, v]
            y[tile] = epilogue(sums)

Where a vector spans many small groups, the pixel's channels are shuffled, so that each lane meets its own group's:

                    sums[row, v] += shuffle(x[..., channels of v's groups], c) * weight[panel, i, j, c, v]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation
from edgecompile.target import CpuFacts, Target

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.factors import Step
from schedules.cpu.grouped.config import GroupedConfig, group_outputs, lines_of, run_of_channels
from schedules.cpu.grouped.formula import convolve_grouped, pack_grouped
from schedules.cpu.image_tiles import ImageTiles, Tile
from schedules.cpu.problem_numbers import read_problem
from schedules.cpu.template import Anchor, attributes

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.accumulators import PerVector
    from schedules.cpu.loops import Expr, Index

GROUPED = "grouped convolution"


def grouped_ways(problem: Convolution, in_block: int, out_block: int, facts: CpuFacts) -> Sequence[Implementation]:
    """The template with scalars as factors, and with shuffled vectors where they fit."""
    configs = (GroupedConfig.choose(problem, in_block, shuffles=shuffles, facts=facts) for shuffles in (False, True))
    return tuple(_way(problem, out_block, config, facts) for config in configs if config is not None)


def _way(problem: Convolution, out_block: int, config: GroupedConfig, facts: CpuFacts) -> Implementation:
    notes = attributes(GROUPED, {"problem": dataclasses.asdict(problem), "config": dataclasses.asdict(config)})

    def compute(x: te.Tensor, weight: te.Tensor) -> te.Tensor:
        return convolve_grouped(x, weight, problem, out_block, config, notes)

    return Implementation(
        name=config.name,
        cycles=config.cycles(problem, facts),
        pack=lambda weight: [pack_grouped(weight, problem, config)],
        compute=compute,
    )


def emit_grouped(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    """The loops for a block that a way of this template annotated."""
    del target
    x, weight = anchor.reads
    problem, config = read_problem(anchor.numbers["problem"]), GroupedConfig(**anchor.numbers["config"])
    return GroupedConvolution(problem, config, x, weight, epilogue).emit()


@dataclass(frozen=True)
class _Task:
    """Where the loops around a tile stand."""

    image: Expr
    panel: Expr


@dataclass(frozen=True)
class GroupedConvolution:
    """Makes the loops of one convolution; x is `[N, C/b, H, W, b]`, the weight `[panels, KH, KW, span, panel]`."""

    problem: Convolution
    config: GroupedConfig
    x: tirx.Buffer
    weight: tirx.Buffer
    epilogue: Epilogue

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        panels = int(self.weight.shape[0])
        _, lines = lines_of(self.problem)

        def task(index: Expr) -> list[tirx.Stmt]:
            at, line = _Task(index // (panels * lines), index // lines % panels), index % lines
            return self._tiles.of_line(line, lambda tile: self._tile(at, tile))

        return loops.parallel(self.problem.batch * panels * lines, task)

    @property
    def _tiles(self) -> ImageTiles:
        """A pointwise convolution sees the image as one line."""
        if not self.problem.is_pointwise:
            return ImageTiles(self.problem, self.config.rows)
        width, _ = lines_of(self.problem)
        return ImageTiles(dataclasses.replace(self.problem, height=1, width=width), self.config.rows)

    def _pixel(self, line: Expr, column: Expr) -> tuple[Expr, Expr]:
        """Row and column of a tile's pixel in the image."""
        if self.problem.is_pointwise:
            return column // self.problem.width, column % self.problem.width
        return line, column

    def _tile(self, task: _Task, tile: Tile) -> list[tirx.Stmt]:
        """The sums of one tile, in registers from their start to their end."""
        config = self.config
        sums = Accumulators.make(tile.rows, config.vectors, config.lanes, str(self.x.dtype))

        def finish(row: int, v: int, lane: Expr) -> tirx.Stmt:
            indices = self._output(task, tile, row, v, lane)
            return self.epilogue.store(sums.get(row, v, lane), indices)

        return [*sums.start(), *self._reduction(task, tile, sums), *self._by_vector(task, sums, finish)]

    def _reduction(self, task: _Task, tile: Tile, sums: Accumulators) -> list[tirx.Stmt]:
        """The loops over the kernel; at the border each of its columns has its own products."""
        tiles, width = self._tiles, self.problem.kernel[1]
        channels = self._shuffled_channels if self.config.shuffles else self._channels

        def column(i: Expr, j: Index) -> list[tirx.Stmt]:
            places = {
                row: self._pixel(*place)
                for row in range(tile.rows)
                if (place := tiles.source(tile, row, i, j)) is not None
            }
            return channels(task, sums, places, [task.panel, i, j]) if places else []

        def columns(i: Expr) -> list[tirx.Stmt]:
            if tiles.touches_border(tile):
                return [statement for j in range(width) for statement in column(i, j)]
            return [loops.serial(width, lambda j: column(i, j), "j")]

        low, extent = tiles.kernel_rows(tile.line)
        return [loops.serial(extent, columns, "i", low)] if columns(loops.index(0)) else []

    def _channels(
        self, task: _Task, sums: Accumulators, places: dict[int, tuple[Expr, Expr]], weight: Sequence[Index]
    ) -> list[tirx.Stmt]:
        """All products of some pixels, by row, with scalars as factors."""
        from tvm import tirx

        problem, config, block = self.problem, self.config, int(self.x.shape[4])
        last = loops.index(config.last_group(problem))
        first = tirx.min(task.panel * config.panel // group_outputs(problem), last)
        run = run_of_channels(config.span, problem, block)
        step = Step(list(places), config.vectors, config.neighbours, str(self.x.dtype))

        def products(start: Expr) -> list[tirx.Stmt]:
            channel = first * problem.group_channels + start
            place, inner = self._channel(channel)

            def read(row: int, c: Expr) -> Expr:
                return loops.load(self.x, [task.image, place, *places[row], inner + c])

            def multiply(row: int, v: int, factor: Expr, c: Expr) -> tirx.Stmt:
                def product(lane: Expr) -> Expr:
                    return factor * loops.load(self.weight, [*weight, start + c, lane + v * config.lanes])

                return sums.add_to(row, v, product)

            return step.repeat(run, read, multiply)

        runs = config.span // run
        return products(loops.index(0)) if runs == 1 else [loops.serial(runs, lambda n: products(n * run), "run")]

    def _shuffled_channels(
        self, task: _Task, sums: Accumulators, places: dict[int, tuple[Expr, Expr]], weight: Sequence[Index]
    ) -> list[tirx.Stmt]:
        """All products of some pixels, by row, with a vector as factor whose lanes belong to several groups."""
        from tvm import tirx

        config, outputs, channels = self.config, group_outputs(self.problem), self.problem.group_channels
        lanes = config.lanes
        inputs = lanes // outputs * channels
        loaded = min(inputs, lanes)

        def source(row: int, v: int, part: int) -> Expr:
            first = (task.panel * config.vectors + v) * inputs + part * loaded
            place, inner = self._channel(first)
            return tirx.BufferLoad(self.x, [task.image, place, *places[row], _ramp(inner, loaded)])

        def add(row: int, v: int, c: int) -> tirx.Stmt:
            picks = [tirx.IntImm("int32", lane // outputs * channels + c) for lane in range(lanes)]
            sources = [source(row, v, part) for part in range(inputs // loaded)]
            # A shuffle may not have more lanes than all its sources together.
            factor = tirx.Shuffle(sources * max(1, lanes // inputs), picks)
            at = [_ramp(loops.index((row * config.vectors + v) * lanes), lanes)]
            place = [*(loops.index(i) for i in weight), loops.index(c), _ramp(loops.index(v * lanes), lanes)]
            product = factor * tirx.BufferLoad(self.weight, place)
            return tirx.BufferStore(sums.buffer, tirx.BufferLoad(sums.buffer, at) + product, at)

        return [add(row, v, c) for v in range(config.vectors) for c in range(channels) for row in places]

    def _channel(self, channel: Expr) -> tuple[Expr, Expr]:
        """The block of an input channel, and its place in there."""
        block = int(self.x.shape[4])
        return (loops.index(0), channel) if block == self.problem.in_channels else (channel // block, channel % block)

    def _output(self, task: _Task, tile: Tile, row: int, v: int, lane: Expr) -> list[Expr]:
        assert tile.line is not None
        h, w = self._pixel(tile.line, tile.pixel(row))
        channel = task.panel * self.config.panel + v * self.config.lanes
        block = int(self.epilogue.anchor.shape[4])
        if block == self.problem.out_channels:
            return [task.image, loops.index(0), h, w, channel + lane]
        assert block % self.config.lanes == 0  # a vector lies in one block
        return [task.image, channel // block, h, w, channel % block + lane]

    def _by_vector(self, task: _Task, sums: Accumulators, one: PerVector) -> list[tirx.Stmt]:
        """`one` for every vector of the tile, shortened where the channels end within a vector."""
        return sums.each_of_panel(one, task.panel, int(self.weight.shape[0]), self.problem.out_channels)


def _ramp(first: Expr, lanes: int) -> Expr:
    from tvm import tirx

    return tirx.Ramp(first, loops.index(1), lanes)
