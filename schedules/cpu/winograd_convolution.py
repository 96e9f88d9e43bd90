"""Winograd convolution for 3x3 kernels of stride one: fewer products, between two linear transforms.

    for block of tile rows in parallel(...):                       # what stays in the second-level cache
        for channels, tile in ...:         v[:, :, c, tile] = B^T x[c, tile] B
        for frequency, panel in ...:
            for chunk of channels in ...:  u[f, panel, tiles] += sum over c of v[f, c, tiles] * weight[f, panel, c]
        for channels, tile in ...:         y[k, tile] = epilogue(A^T u[:, :, k, tile] A)

The products are those of `direct_convolution`: rows of tiles times vectors of output channels, a matrix per frequency.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.factors import Step
from schedules.cpu.weight_stream import WeightStream
from schedules.cpu.winograd_config import WinogradConfig
from schedules.cpu.winograd_matrices import transforms
from schedules.cpu.winograd_transforms import both_sides

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Body, Expr
    from schedules.cpu.winograd_transforms import Vector

    _Loop = Callable[[int, Body, str], tirx.Stmt]


@dataclass(frozen=True)
class _Memory:
    """Where transformed tiles wait: `[groups, n * n, channels / lanes, tiles, lanes]` of inputs and of results."""

    v: tirx.Buffer
    u: tirx.Buffer


@dataclass(frozen=True)
class _Block:
    """Rows of tiles that go through all steps together.

    Attributes:
        group: whose part of the memory it uses.
        image: of the batch.
        first: row of tiles.
    """

    memory: _Memory
    group: Expr
    image: Expr
    first: Expr


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
        """The loops that compute all of the epilogue's target.

        Where there are blocks enough, each core does some of them, all three steps, with memory of its own. The blocks
        that are left over, or all where they are few, are done by the cores together, step by step.
        """
        config, problem = self.config, self.problem
        blocks = problem.batch * config.tiles(problem)[0] // config.tile_rows
        cores = self.facts.num_cores
        share = blocks // cores if cores > 1 else 0
        groups = cores if share else 1
        memory = self._memory(groups)
        statements = [loops.allocate(buffer) for buffer in (memory.v, memory.u)]
        if share:

            def group(index: Expr) -> list[tirx.Stmt]:
                return [
                    loops.serial(share, lambda i: self._block(memory, index * share + i, index, loops.serial), "block")
                ]

            statements.append(loops.parallel(groups, group, "group"))
        left = blocks - share * groups
        if left:

            def block(index: Expr) -> list[tirx.Stmt]:
                return self._block(memory, index + share * groups, loops.index(0), loops.parallel)

            statements.append(loops.serial(left, block, "block"))
        return loops.sequence(statements)

    def _memory(self, groups: int) -> _Memory:
        config, problem = self.config, self.problem
        tiles = config.tile_rows * config.tiles(problem)[1]

        def buffer(channels: int, name: str) -> tirx.Buffer:
            shape = [groups, config.size**2, channels // config.lanes, tiles, config.lanes]
            return loops.local_buffer(shape, str(self.x.dtype), name)

        return _Memory(buffer(problem.in_channels, "v"), buffer(problem.out_channels, "u"))

    def _block(self, memory: _Memory, index: Expr, group: Expr, loop: _Loop) -> list[tirx.Stmt]:
        """The three steps of a block, each a `loop` over tasks."""
        config, problem = self.config, self.problem
        height, width = config.tiles(problem)
        blocks, tiles = height // config.tile_rows, config.tile_rows * width
        block = _Block(memory, group, index // blocks, index % blocks * config.tile_rows)

        return [
            loop(
                problem.in_channels // config.lanes * config.tile_rows,
                lambda task: self._transform_in(block, task // config.tile_rows, task % config.tile_rows),
                "task",
            ),
            loop(config.size**2 * int(self.weight.shape[1]), lambda task: self._multiply(block, task), "task"),
            loop(
                problem.out_channels // config.lanes * tiles,
                lambda task: self._transform_out(block, task // tiles, task % tiles),
                "task",
            ),
        ]

    def _transform_in(self, block: _Block, c: Expr, line: Expr) -> list[tirx.Stmt]:
        """A row of tiles; those at the border have a loop of their own, so that the others need not ask."""
        from tvm import tirx

        config, problem = self.config, self.problem
        _, width = config.tiles(problem)
        low, high = self._columns_inside()
        row = (block.first + line) * config.outputs - problem.padding[0]

        def tile(column: Expr, *, guarded: bool) -> list[tirx.Stmt]:
            place = (row, column * config.outputs - problem.padding[1])
            return self._tile_in(block, c, line * width + column, place, guarded=guarded)

        inside = tirx.all(row >= 0, row + config.size <= problem.height)
        skipped = tirx.Select(inside, loops.index(high - low), loops.index(0))

        def at_border(number: Expr) -> list[tirx.Stmt]:
            return tile(tirx.Select(number >= low, number + skipped, number), guarded=True)

        plain = loops.serial(high - low, lambda column: tile(column, guarded=False), "tile", low)
        return [
            *([loops.when(inside, [plain])] if high > low else []),
            loops.serial(width - skipped, at_border, "tile"),
        ]

    def _columns_inside(self) -> tuple[int, int]:
        """The first tile of a row that no padding touches from the side, and the first one after them."""
        config, problem = self.config, self.problem
        starts = [column * config.outputs - problem.padding[1] for column in range(config.tiles(problem)[1])]
        inside = [at for at, start in enumerate(starts) if start >= 0 and start + config.size <= problem.width]
        return (inside[0], inside[-1] + 1) if inside else (0, 0)

    def _tile_in(
        self, block: _Block, c: Expr, tile: Expr, place: tuple[Expr, Expr], *, guarded: bool
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
            return loops.vector(lanes, lambda lane: loops.store(block.memory.v, value(lane), [*target, lane]))

        return both_sides(transforms(self.config.outputs).input, read, write, lanes, dtype)

    def _multiply(self, block: _Block, task: Expr) -> list[tirx.Stmt]:
        """All tiles of a frequency and a panel of output channels, by chunks of input channels."""
        config = self.config
        panels = int(self.weight.shape[1])
        frequency, panel = task // panels, task % panels
        full, rest = divmod(int(block.memory.v.shape[3]), config.rows)

        def chunk(index: Expr | None) -> list[tirx.Stmt]:
            place = _Panel(frequency, panel, index)
            statements: list[tirx.Stmt] = []
            if full:

                def whole(tile: Expr) -> list[tirx.Stmt]:
                    return self._product(block, place, tile * config.rows, config.rows)

                statements.append(loops.serial(full, whole, "tile"))
            if rest:
                statements += self._product(block, place, loops.index(full * config.rows), rest)
            return statements

        return chunk(None) if self._chunks == 1 else [loops.serial(self._chunks, chunk, "chunk")]

    @property
    def _chunks(self) -> int:
        return self.problem.in_channels // self.config.chunk

    def _product(self, block: _Block, place: _Panel, start: Expr, rows: int) -> list[tirx.Stmt]:
        config = self.config
        lanes, panel = config.lanes, place.panel
        u, v = block.memory.u, block.memory.v
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

    def _transform_out(self, block: _Block, k: Expr, tile: Expr) -> list[tirx.Stmt]:
        from tvm import tirx

        config, problem, u = self.config, self.problem, block.memory.u
        size, outputs, lanes = config.size, config.outputs, config.lanes
        _, width = config.tiles(problem)
        oh, ow = (block.first + tile // width) * outputs, tile % width * outputs

        def read(i: int, j: int) -> Vector:
            return lambda lane: loops.load(u, [block.group, i * size + j, k, tile, lane])

        def write(a: int, b: int, value: Vector) -> tirx.Stmt:
            def one(lane: Expr) -> tirx.Stmt:
                indices = [block.image, k, oh + a, ow + b, lane]
                return loops.store(self.epilogue.target, self.epilogue.apply(value(lane), indices), indices)

            conditions = []
            if problem.out_height % outputs and a:
                conditions.append(oh + a < problem.out_height)
            if problem.out_width % outputs and b:
                conditions.append(ow + b < problem.out_width)
            statement = loops.vector(lanes, one)
            return loops.when(tirx.all(*conditions), [statement]) if conditions else statement

        return both_sides(transforms(outputs).output, read, write, lanes, str(u.dtype))
