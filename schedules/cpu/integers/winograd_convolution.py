"""Winograd convolution of bytes for 3x3 kernels of stride one, in whole numbers: exactly the direct one's sums.

    for block of tile rows in parallel(...):                       # what stays in the second-level cache
        for channels, tile in ...:         v[:, :, c, tile] = B^T x[c, tile] B                      # int16
        for panel of output channels:                              # its u stays there too
            for frequency in ...:          u[k, tiles, f] = sum over c of v[f, c, tiles] * weight[panel, f, c]
            for channels, tile in ...:     y[k, tile] = epilogue((A^T u[k, tile] A) / scale^2 + start[k])

Weights are read once in a block, in order; the next frequency's are fetched while this one's are in use.

Pixels beyond x count as its zero point, so that all of them have the same `start`. `winograd_matrices` says why
the division has no remainder, and that sums may wrap around.
"""

from __future__ import annotations

import functools
import math
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
from schedules.cpu.integers.epilogue import IntegerEpilogue, store_integers
from schedules.cpu.integers.products import tap_products
from schedules.cpu.integers.winograd_config import MOST_TRANSFORM_LANES, WORD_BYTES, IntegerWinogradConfig
from schedules.cpu.integers.winograd_matrices import integer_transforms
from schedules.cpu.weight_stream import WeightStream
from schedules.cpu.winograd.blocks import TileBlock, TileBlocks
from schedules.cpu.winograd.transforms import WRAPPING, Square, both_sides
from schedules.dot_product import DotProduct
from schedules.x86.words import has_words

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index
    from schedules.cpu.winograd.blocks import Tasks
    from schedules.cpu.winograd.transforms import Vector


@dataclass(frozen=True)
class _Memory:
    """Where transformed tiles wait.

    Attributes:
        v: of inputs, `[groups, n * n, C / b + 1, tiles, b]` int16. A tile has its n * n vectors in as many places. The
            room between them is there so that their distance is no multiple of the first-level cache's ways, of which
            few could hold them all.
        u: of results, `[cores, vectors of a panel, tiles, n * n, lanes]` int32.
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

        def transform_in(block: TileBlock, task: Expr) -> list[tirx.Stmt]:
            c, line = task // config.tile_rows, task % config.tile_rows

            def tile(number: Expr, place: tuple[Expr, Expr], guarded: bool) -> list[tirx.Stmt]:
                return self._tile_in(memory, block, c, number, place, guarded=guarded)

            return blocks.read_line(block, line, tile)

        def steps(block: TileBlock) -> list[Tasks]:
            return [
                (int(self.x.shape[1]) * config.tile_rows, functools.partial(transform_in, block)),
                (min(block.cores, self._panels), functools.partial(self._some_panels, memory, block)),
            ]

        return loops.sequence([*(loops.allocate(buffer) for buffer in (memory.v, memory.u)), *blocks.emit(steps)])

    def _some_panels(self, memory: _Memory, block: TileBlock, core: Expr) -> list[tirx.Stmt]:
        """The panels of one of the cores that work on a block."""
        share = math.ceil(self._panels / min(block.cores, self._panels))

        def one(index: Expr) -> list[tirx.Stmt]:
            panel = core * share + index
            statements = self._panel(memory, block, block.group + core, panel)
            is_even = self._panels % share == 0
            return statements if is_even else [loops.when(panel < self._panels, statements)]

        return [loops.serial(share, one, "panel")]

    def _panel(self, memory: _Memory, block: TileBlock, room: Expr, panel: Expr) -> list[tirx.Stmt]:
        """All results of a panel of output channels; its terms wait in u's `room`."""
        config, blocks = self.config, self._blocks
        whole, rest = divmod(self.problem.out_channels, config.tile.lanes)
        vectors = config.tile.vectors

        def transform(v: Expr, channels: int) -> tirx.Stmt:
            def one(tile: Expr) -> list[tirx.Stmt]:
                return self._transform_out(memory, block, room, panel * vectors + v, (v, tile), channels)

            return loops.serial(blocks.tiles, one, "tile")

        def out(v: Expr) -> list[tirx.Stmt]:
            k = panel * vectors + v
            statements = []
            if whole:
                is_whole = self._panels * vectors == whole
                every = transform(v, config.tile.lanes)
                statements.append(every if is_whole else loops.when(k < whole, [every]))
            if rest:
                statements.append(loops.when(k == whole, [transform(v, rest)]))
            return statements

        frequencies = loops.serial(
            config.size**2, lambda frequency: self._multiply(memory, block, room, panel, frequency), "frequency"
        )
        return [frequencies, loops.serial(vectors, out, "v")]

    @property
    def _panels(self) -> int:
        return int(self.weight.shape[0])

    @property
    def _blocks(self) -> TileBlocks:
        config = self.config
        return TileBlocks(self.problem, config.outputs, config.tile_rows, self.facts.num_cores)

    def _memory(self) -> _Memory:
        config, blocks = self.config, self._blocks
        size, (_, in_blocks, _, _, in_block) = config.size**2, (int(extent) for extent in self.x.shape)
        inputs = [blocks.groups, size, in_blocks + 1, blocks.tiles, in_block]
        results = [self.facts.num_cores, config.tile.vectors, blocks.tiles, size, config.tile.lanes]
        return _Memory(loops.local_buffer(inputs, "int16", "v"), loops.local_buffer(results, "int32", "u"))

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

    def _multiply(self, memory: _Memory, block: TileBlock, room: Expr, panel: Expr, frequency: Expr) -> list[tirx.Stmt]:
        """All tiles of a frequency and a panel of output channels."""
        steps, step_elements = math.prod(int(n) for n in self.weight.shape[2:4]), math.prod(self.weight.shape[4:])
        is_near = 2 * steps * int(step_elements) * WORD_BYTES <= self.facts.l1d_bytes
        runs = math.ceil(self._blocks.tiles / self.config.tile.rows)
        stream = WeightStream(self.weight, runs, steps, int(step_elements), is_near)

        def tiles(first: Expr, rows: int) -> list[tirx.Stmt]:
            return self._product(memory, block.group, (room, panel, frequency), first, rows, stream)

        return self._blocks.over_rows(self.config.tile.rows, tiles)

    def _product(
        self,
        memory: _Memory,
        group: Expr,
        place: tuple[Expr, Expr, Expr],
        first: Expr,
        rows: int,
        stream: WeightStream,
    ) -> list[tirx.Stmt]:
        """The sums of some tiles for one frequency and a panel of output channels; `place` is u's room and these."""
        from tvm import tirx

        config, dot = self.config.tile, self.dot
        room, panel, frequency = place
        sums = Accumulators.make(rows, config.vectors, config.lanes, "int32")
        groups, zero = int(self.weight.shape[3]), loops.index(0)

        def products(index: Expr) -> list[tirx.Stmt]:
            def multiply(row: int, factor: Expr, step: Expr) -> list[tirx.Stmt]:
                operand = dot.spread(factor)

                def add(before: Expr, v: int) -> Expr:
                    at = [panel, frequency, index, step, v, loops.ramp(0, dot.lanes * dot.group)]
                    return dot.add(before, operand, dot.weight(loops.load(self.weight, at)))

                return [sums.update(row, v, functools.partial(add, v=v)) for v in range(config.vectors)]

            met = {row: [group, frequency, index, first + row] for row in range(rows)}
            following = [panel, frequency + 1, zero, zero, zero, zero]
            requests = stream.requests(following, first // config.rows, index * groups)
            streamed = (stream.strip, requests) if stream.pays(self.facts) else None
            return tap_products(memory.v, met, dot, config.neighbours, multiply, streamed)

        def keep(row: int, v: int, lane: Expr) -> tirx.Stmt:
            return loops.store(memory.u, sums.get(row, v, lane), [room, loops.index(v), first + row, frequency, lane])

        reduction = loops.serial(int(self.x.shape[1]), products, "block")
        return [*sums.start(tirx.const(0, "int32")), reduction, *sums.each(keep)]

    def _transform_out(
        self, memory: _Memory, block: TileBlock, room: Expr, k: Expr, place: tuple[Expr, Expr], channels: int
    ) -> list[tirx.Stmt]:
        """One tile of one vector of output channels, of which the first `channels` count.

        Args:
            room: of u.
            k: the vector's number.
            place: its number in the panel, and the tile.
        """
        from tvm import tirx

        config, u = self.config, memory.u
        size, outputs, lanes = config.size, config.outputs, config.tile.lanes
        matrices = integer_transforms(outputs)
        v, tile = place
        oh, ow = self._blocks.result(block, tile)
        results = Square(outputs, outputs, lanes, "int32", "results", WRAPPING)
        out_block = int(self.epilogue.anchor.shape[4])
        first = k * lanes

        def read(i: int, j: int) -> Vector:
            return lambda lane: loops.load(u, [room, v, tile, loops.index(i * size + j), lane])

        def keep(a: int, b: int, value: Vector) -> tirx.Stmt:
            return results.put(a, b, lambda lane: wrapping.multiply(value(lane), matrices.inverse))

        def at(a: Expr, b: Expr) -> list[Expr]:
            """Where the first lane's result lies: a vector is in one block, or there is one block only."""
            return [block.image, first // out_block, oh + a, ow + b, first % out_block]

        def store(value: Expr, a: Expr, b: Expr, lane: Expr) -> tirx.Stmt:
            *outer, channel = at(a, b)
            indices = [*outer, channel + lane]
            return self.epilogue.store(value, indices)

        def finish(a: Expr, b: Expr) -> tirx.Stmt:
            def one(lane: Expr) -> tirx.Stmt:
                scaled = loops.load(results.buffer, [(a * outputs + b) * lanes + lane])
                exact = tirx.shift_right(scaled, tirx.const(matrices.shift, "int32"))
                return store(exact + loops.load(self.start, [first + lane]), a, b, lane)

            return self._blocks.within((oh, ow), a, b, loops.vector(channels, one))

        def finish_row(a: Expr) -> list[tirx.Stmt]:
            """The results of a row together, by vectors of bytes."""
            sums = Accumulators.make(outputs, 1, lanes, "int32")
            start = loops.load(self.start, [loops.ramp(first, lanes)])
            places = tirx.Broadcast(tirx.const(matrices.shift, "int32"), lanes)
            values = [
                tirx.shift_right(loops.load(results.buffer, [loops.ramp((a * outputs + b) * lanes, lanes)]), places)
                for b in range(outputs)
            ]
            stores = store_integers(
                self.epilogue,
                sums,
                lambda b, _: at(a, loops.index(b)),
                [channels],
                lambda value, b, _, lane: store(value, a, loops.index(b), lane),
                1,
                self.facts,
            )
            kept = [sums.replace(value + start, b, 0) for b, value in enumerate(values)]
            return [loops.allocate(sums.buffer), *kept, *stores]

        return [
            loops.allocate(results.buffer),
            *both_sides(matrices.output, read, keep, lanes, "int32", WRAPPING),
            # Loops: the epilogue's code, once instead of for each result, takes LLVM a fraction of the time.
            loops.serial(outputs, finish_row, "a")
            if self._packs(channels)
            else loops.serial(outputs, lambda a: [loops.serial(outputs, lambda b: [finish(a, b)], "b")], "a"),
        ]

    def _packs(self, channels: int) -> bool:
        """True where instructions turn whole vectors of sums into bytes, and all results of a tile belong to y."""
        problem, outputs = self.problem, self.config.outputs
        is_whole = problem.out_height % outputs == problem.out_width % outputs == 0
        return (
            is_whole and has_words(self.facts, channels) and IntegerEpilogue.of(self.epilogue, self.facts) is not None
        )
