"""Winograd convolution of bytes for 3x3 kernels of stride one, in whole numbers: exactly the direct one's sums.

    for block of tile rows in parallel(...):                       # what stays in the second-level cache
        for channels, tile in ...:         v[:, :, c, tile] = B^T x[c, tile] B                      # int16
        for frequency, panel in ...:       u[f, panel, tiles] = sum over c of v[f, c, tiles] * weight[f, panel, c]
        for channels, tile in ...:         y[k, tile] = epilogue((A^T u[:, :, k, tile] A) / scale^2 + start[k])

Pixels beyond x count as its zero point, so that all of them have the same `start`. `integer_winograd_matrices` says why
the division has no remainder, and that sums may wrap around.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules import wrapping
from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.block_vectors import over_vectors
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.integer_products import tap_products
from schedules.cpu.integer_winograd_config import MOST_TRANSFORM_LANES, WORD_BYTES, IntegerWinogradConfig
from schedules.cpu.integer_winograd_matrices import integer_transforms
from schedules.cpu.winograd_blocks import TileBlock, TileBlocks
from schedules.cpu.winograd_transforms import WRAPPING, Square, both_sides
from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index
    from schedules.cpu.winograd_blocks import Tasks
    from schedules.cpu.winograd_transforms import Vector


@dataclass(frozen=True)
class _Memory:
    """Where transformed tiles wait.

    Attributes:
        v: of inputs, `[groups, n * n, C / b, tiles, b]` int16.
        u: of results, `[groups, n * n, vectors of K, tiles, lanes]` int32.
    """

    v: tirx.Buffer
    u: tirx.Buffer


@dataclass(frozen=True)
class IntegerWinogradConvolution:
    """Makes the loops of one convolution.

    Attributes:
        zero_point: of x.
        x: `[N, C / b, H, W, b]` int8.
        weight, start: as `pack_integer_winograd` makes them.
        facts: of the CPU.
    """

    problem: Convolution
    zero_point: int
    config: IntegerWinogradConfig
    dot: DotProduct
    x: tirx.Buffer
    weight: tirx.Buffer
    start: tirx.Buffer
    epilogue: Epilogue
    facts: CpuFacts

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        config, blocks = self.config, self._blocks
        memory = self._memory()
        whole, rest = divmod(self.problem.out_channels, config.tile.lanes)

        def transform_in(block: TileBlock, task: Expr) -> list[tirx.Stmt]:
            c, line = task // config.tile_rows, task % config.tile_rows

            def tile(number: Expr, place: tuple[Expr, Expr], guarded: bool) -> list[tirx.Stmt]:
                return self._tile_in(memory, block, c, number, place, guarded=guarded)

            return blocks.read_line(block, line, tile)

        def transform_out(block: TileBlock, task: Expr) -> list[tirx.Stmt]:
            k, tile = task // blocks.tiles, task % blocks.tiles
            return self._transform_out(memory, block, k, tile, config.tile.lanes)

        def transform_last(block: TileBlock, tile: Expr) -> list[tirx.Stmt]:
            return self._transform_out(memory, block, loops.index(whole), tile, rest)

        def steps(block: TileBlock) -> list[Tasks]:
            panels = int(self.weight.shape[1])
            found: list[Tasks] = [
                (int(self.x.shape[1]) * config.tile_rows, functools.partial(transform_in, block)),
                (config.size**2 * panels, functools.partial(self._multiply, memory, block)),
            ]
            if whole:
                found.append((whole * blocks.tiles, functools.partial(transform_out, block)))
            if rest:
                found.append((blocks.tiles, functools.partial(transform_last, block)))
            return found

        return loops.sequence([*(loops.allocate(buffer) for buffer in (memory.v, memory.u)), *blocks.emit(steps)])

    @property
    def _blocks(self) -> TileBlocks:
        config = self.config
        return TileBlocks(self.problem, config.outputs, config.tile_rows, self.facts.num_cores)

    def _memory(self) -> _Memory:
        config, blocks = self.config, self._blocks

        def buffer(count: int, lanes: int, dtype: str, name: str) -> tirx.Buffer:
            return loops.local_buffer([blocks.groups, config.size**2, count, blocks.tiles, lanes], dtype, name)

        vectors = int(self.weight.shape[1]) * config.tile.vectors
        return _Memory(
            buffer(int(self.x.shape[1]), int(self.x.shape[4]), "int16", "v"),
            buffer(vectors, config.tile.lanes, "int32", "u"),
        )

    def _tile_in(
        self, memory: _Memory, block: TileBlock, c: Expr, tile: Expr, place: tuple[Expr, Expr], *, guarded: bool
    ) -> list[tirx.Stmt]:
        """One tile of one block of channels; `place` is its first row and column in x."""
        from tvm import tirx

        problem, size = self.problem, self.config.size
        row, column = place

        def some(first: Expr, lanes: int) -> list[tirx.Stmt]:
            def pixel(i: Index, j: Index, lane: Expr) -> Expr:
                return tirx.Cast("int16", loops.load(self.x, [block.image, c, row + i, column + j, first + lane]))

            def write(r: int, s: int, value: Vector) -> tirx.Stmt:
                target = [block.group, r * size + s, c, tile]
                return loops.vector(lanes, lambda lane: loops.store(memory.v, value(lane), [*target, first + lane]))

            def transform(read: Callable[[int, int], Vector]) -> list[tirx.Stmt]:
                return both_sides(integer_transforms(self.config.outputs).input, read, write, lanes, "int16")

            if not guarded:
                return transform(lambda i, j: lambda lane: pixel(i, j, lane))
            # A question for each pixel, spelled out, would take TVM seconds: a loop asks it, and keeps the answers.
            pixels = loops.local_buffer([size, size, lanes], "int16", "pixels")

            def fetch(i: Expr, j: Expr) -> tirx.Stmt:
                ih, iw = row + i, column + j
                inside = tirx.all(ih >= 0, ih < problem.height, iw >= 0, iw < problem.width)

                def one(lane: Expr) -> tirx.Stmt:
                    found = tirx.if_then_else(inside, pixel(i, j, lane), tirx.const(self.zero_point, "int16"))
                    return loops.store(pixels, found, [i, j, lane])

                return loops.vector(lanes, one)

            return [
                loops.allocate(pixels),
                loops.serial(size, lambda i: [loops.serial(size, lambda j: [fetch(i, j)], "j")], "i"),
                *transform(lambda i, j: lambda lane: loops.load(pixels, [i, j, lane])),
            ]

        most = min(MOST_TRANSFORM_LANES, self.facts.vector_bytes // WORD_BYTES)
        return over_vectors(int(self.x.shape[4]), most, some)

    def _multiply(self, memory: _Memory, block: TileBlock, task: Expr) -> list[tirx.Stmt]:
        """All tiles of a frequency and a panel of output channels."""
        panels = int(self.weight.shape[1])
        frequency, panel = task // panels, task % panels

        def tiles(first: Expr, rows: int) -> list[tirx.Stmt]:
            return self._product(memory, [block.group, frequency], panel, first, rows)

        return self._blocks.over_rows(self.config.tile.rows, tiles)

    def _product(self, memory: _Memory, place: list[Expr], panel: Expr, first: Expr, rows: int) -> list[tirx.Stmt]:
        """The sums of some tiles at one place, a group and a frequency, for a panel of output channels."""
        from tvm import tirx

        config, dot = self.config.tile, self.dot
        sums = Accumulators.make(rows, config.vectors, config.lanes, "int32")

        def products(index: Expr) -> list[tirx.Stmt]:
            def multiply(row: int, factor: Expr, step: Expr) -> list[tirx.Stmt]:
                operand = dot.spread(factor)

                def add(before: Expr, v: int) -> Expr:
                    at = [place[1], panel, index, step, v, loops.ramp(0, dot.lanes * dot.group)]
                    return dot.add(before, operand, dot.weight(loops.load(self.weight, at)))

                return [sums.update(row, v, functools.partial(add, v=v)) for v in range(config.vectors)]

            met = {row: [*place, index, first + row] for row in range(rows)}
            return tap_products(memory.v, met, dot, config.neighbours, multiply)

        def keep(row: int, v: int, lane: Expr) -> tirx.Stmt:
            target = [*place, panel * config.vectors + v, first + row, lane]
            return loops.store(memory.u, sums.get(row, v, lane), target)

        reduction = loops.serial(int(self.x.shape[1]), products, "block")
        return [*sums.start(tirx.const(0, "int32")), reduction, *sums.each(keep)]

    def _transform_out(self, memory: _Memory, block: TileBlock, k: Expr, tile: Expr, channels: int) -> list[tirx.Stmt]:
        """One tile of one vector of output channels, of which the first `channels` count."""
        from tvm import tirx

        config, u = self.config, memory.u
        size, outputs, lanes = config.size, config.outputs, config.tile.lanes
        matrices = integer_transforms(outputs)
        oh, ow = self._blocks.result(block, tile)
        results = Square(outputs, outputs, lanes, "int32", "results", WRAPPING)
        out_block = int(self.epilogue.anchor.shape[4])
        first = k * lanes

        def read(i: int, j: int) -> Vector:
            return lambda lane: loops.load(u, [block.group, i * size + j, k, tile, lane])

        def keep(a: int, b: int, value: Vector) -> tirx.Stmt:
            return results.put(a, b, lambda lane: wrapping.multiply(value(lane), matrices.inverse))

        def finish(a: Expr, b: Expr) -> tirx.Stmt:
            def one(lane: Expr) -> tirx.Stmt:
                scaled = loops.load(results.buffer, [(a * outputs + b) * lanes + lane])
                exact = tirx.shift_right(scaled, tirx.const(matrices.shift, "int32"))
                value = exact + loops.load(self.start, [first + lane])
                # A vector lies in one block, or there is one block only.
                place = [first // out_block, oh + a, ow + b, first % out_block + lane]
                indices = [block.image, *place]
                return loops.store(self.epilogue.target, self.epilogue.apply(value, indices), indices)

            return self._blocks.within((oh, ow), a, b, loops.vector(channels, one))

        return [
            loops.allocate(results.buffer),
            *both_sides(matrices.output, read, keep, lanes, "int32", WRAPPING),
            # A loop: the epilogue's code, once instead of for each result, takes LLVM a fraction of the time.
            loops.serial(outputs, lambda a: [loops.serial(outputs, lambda b: [finish(a, b)], "b")], "a"),
        ]
