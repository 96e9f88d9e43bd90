"""Winograd convolution for 3x3 kernels of stride one: fewer products, between two linear transforms.

    for block of tile rows in parallel(...):                       # what stays in the second-level cache
        for channels, tile in ...:         v[:, :, c, tile] = B^T x[c, tile] B
        for frequency, panel in ...:
            for chunk of channels in ...:  u[f, panel, tiles] += sum over c of v[f, c, tiles] * weight[f, panel, c]
        for channels, tile in ...:         y[k, tile] = epilogue(A^T u[:, :, k, tile] A)

The products are those of `direct.convolution`: rows of tiles times vectors of output channels, a matrix per frequency.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.factors import Step
from schedules.cpu.weight_stream import WeightStream
from schedules.cpu.winograd.blocks import TileBlock, TileBlocks
from schedules.cpu.winograd.config import WinogradConfig
from schedules.cpu.winograd.matrices import transforms
from schedules.cpu.winograd.transforms import both_sides

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr
    from schedules.cpu.winograd.blocks import Tasks
    from schedules.cpu.winograd.transforms import Vector


@dataclass(frozen=True)
class _Memory:
    """Where transformed tiles wait: `[groups, n * n, channels / lanes, tiles, lanes]` of inputs and of results."""

    v: tirx.Buffer
    u: tirx.Buffer


@dataclass(frozen=True)
class _Panel:
    """Which of the weights a product takes; all input channels where `chunk` is None."""

    frequency: Expr
    panel: Expr
    chunk: Expr | None


@dataclass(frozen=True)
class WinogradConvolution:
    """Makes the loops; x is `[N, C / lanes, H, W, lanes]`, the weight as `pack_winograd` makes it."""

    problem: Convolution
    config: WinogradConfig
    x: tirx.Buffer
    weight: tirx.Buffer
    epilogue: Epilogue
    facts: CpuFacts

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        config, problem, blocks = self.config, self.problem, self._blocks
        memory = self._memory()

        def transform_in(block: TileBlock, task: Expr) -> list[tirx.Stmt]:
            return blocks.read_line(block, task, functools.partial(self._tile_in, memory, block))

        def transform_out(block: TileBlock, task: Expr) -> list[tirx.Stmt]:
            return self._transform_out(memory, block, task // blocks.tiles, task % blocks.tiles)

        def steps(block: TileBlock) -> list[Tasks]:
            return [
                (problem.in_channels // config.lanes * config.tile_rows, functools.partial(transform_in, block)),
                (config.size**2 * int(self.weight.shape[1]), functools.partial(self._multiply, memory, block)),
                (problem.out_channels // config.lanes * blocks.tiles, functools.partial(transform_out, block)),
            ]

        return loops.sequence([*(loops.allocate(buffer) for buffer in (memory.v, memory.u)), *blocks.emit(steps)])

    @property
    def _blocks(self) -> TileBlocks:
        config = self.config
        return TileBlocks(self.problem, config.outputs, config.tile_rows, self.facts.num_cores)

    def _memory(self) -> _Memory:
        config, problem, blocks = self.config, self.problem, self._blocks

        def buffer(channels: int, name: str) -> tirx.Buffer:
            shape = [blocks.groups, config.size**2, channels // config.lanes, blocks.tiles, config.lanes]
            return loops.local_buffer(shape, str(self.x.dtype), name)

        return _Memory(buffer(problem.in_channels, "v"), buffer(problem.out_channels, "u"))

    def _tile_in(
        self, memory: _Memory, block: TileBlock, c: Expr, tile: Expr, place: tuple[Expr, Expr], guarded: bool
    ) -> list[tirx.Stmt]:
        """One tile of one block of channels; `place` is its first row and column in x."""
        from tvm import tirx

        problem, size, lanes = self.problem, self.config.size, self.config.lanes
        row, column = place
        dtype = str(self.x.dtype)

        def read(i: int, j: int) -> Vector:
            ih, iw = row + i, column + j
            inside = tirx.all(ih >= 0, ih < problem.height, iw >= 0, iw < problem.width)

            def value(lane: Expr) -> Expr:
                found = loops.load(self.x, [block.image, c, ih, iw, lane])
                return tirx.if_then_else(inside, found, tirx.const(0.0, dtype)) if guarded else found

            return value

        def write(r: int, s: int, value: Vector) -> tirx.Stmt:
            target = [block.group, r * size + s, c, tile]
            return loops.vector(lanes, lambda lane: loops.store(memory.v, value(lane), [*target, lane]))

        return both_sides(transforms(self.config.outputs).input, read, write, lanes, dtype)

    def _multiply(self, memory: _Memory, block: TileBlock, task: Expr) -> list[tirx.Stmt]:
        """All tiles of a frequency and a panel of output channels, by chunks of input channels."""
        panels = int(self.weight.shape[1])
        frequency, panel = task // panels, task % panels

        def chunk(index: Expr | None) -> list[tirx.Stmt]:
            place = _Panel(frequency, panel, index)

            def tiles(first: Expr, count: int) -> list[tirx.Stmt]:
                return self._product(memory, block, place, first, count)

            return self._blocks.over_rows(self.config.rows, tiles)

        return chunk(None) if self._chunks == 1 else [loops.serial(self._chunks, chunk, "chunk")]

    @property
    def _chunks(self) -> int:
        return self.problem.in_channels // self.config.chunk

    def _product(self, memory: _Memory, block: TileBlock, place: _Panel, start: Expr, rows: int) -> list[tirx.Stmt]:
        config = self.config
        lanes, panel = config.lanes, place.panel
        u, v = memory.u, memory.v
        sums = Accumulators.make(rows, config.vectors, lanes, str(v.dtype))
        first = loops.index(0) if place.chunk is None else place.chunk * config.chunk
        stream = WeightStream(self.weight, math.ceil(int(v.shape[3]) / config.rows), config.chunk, config.panel)
        behind = [place.frequency, panel, first + config.chunk, loops.index(0)]

        def products(index: Expr) -> list[tirx.Stmt]:
            def read(row: int, inner: Expr) -> Expr:
                return loops.load(v, [block.group, place.frequency, first // lanes + index, start + row, inner])

            def multiply(row: int, vector: int, factor: Expr, inner: Expr) -> tirx.Stmt:
                def product(lane: Expr) -> Expr:
                    channel = first + index * lanes + inner
                    return factor * loops.load(self.weight, [place.frequency, panel, channel, lane + vector * lanes])

                return sums.add_to(row, vector, product)

            step = Step(range(rows), config.vectors, config.neighbours, str(v.dtype))
            if not stream.pays(self.facts):
                return step.repeat(lanes, read, multiply)
            request = stream.requests(behind, start // config.rows, index * lanes)
            return step.repeat(lanes, read, multiply, stream.strip, request)

        def result(row: int, vector: int, lane: Expr) -> list[Expr]:
            return [block.group, place.frequency, panel * config.vectors + vector, start + row, lane]

        def keep(row: int, vector: int, lane: Expr) -> tirx.Stmt:
            return loops.store(u, sums.get(row, vector, lane), result(row, vector, lane))

        def join(row: int, vector: int, lane: Expr) -> tirx.Stmt:
            indices = result(row, vector, lane)
            return loops.store(u, loops.load(u, indices) + sums.get(row, vector, lane), indices)

        reduction = loops.serial(config.chunk // lanes, products, "block")
        if place.chunk is None:
            return [*sums.start(), reduction, *sums.each(keep)]
        return [*sums.start(), reduction, loops.when(place.chunk > 0, sums.each(join), sums.each(keep))]

    def _transform_out(self, memory: _Memory, block: TileBlock, k: Expr, tile: Expr) -> list[tirx.Stmt]:
        config, u = self.config, memory.u
        size, outputs, lanes = config.size, config.outputs, config.lanes
        oh, ow = self._blocks.result(block, tile)

        def read(i: int, j: int) -> Vector:
            return lambda lane: loops.load(u, [block.group, i * size + j, k, tile, lane])

        def write(a: int, b: int, value: Vector) -> tirx.Stmt:
            def one(lane: Expr) -> tirx.Stmt:
                indices = [block.image, k, oh + a, ow + b, lane]
                return self.epilogue.store(value(lane), indices)

            return self._blocks.within((oh, ow), a, b, loops.vector(lanes, one))

        return both_sides(transforms(outputs).output, read, write, lanes, str(u.dtype))
