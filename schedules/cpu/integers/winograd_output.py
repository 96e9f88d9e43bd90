"""The way from Winograd's products to bytes: y = epilogue((A^T u A) / scale^2 + start)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.target import CpuFacts

from schedules import wrapping
from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.integers.epilogue import IntegerEpilogue, store_integers
from schedules.cpu.integers.winograd_config import IntegerWinogradConfig
from schedules.cpu.integers.winograd_matrices import integer_transforms
from schedules.cpu.winograd.blocks import TileBlock, TileBlocks
from schedules.cpu.winograd.transforms import WRAPPING, Square, both_sides
from schedules.x86.words import has_words

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr
    from schedules.cpu.winograd.transforms import Vector


@dataclass(frozen=True)
class IntegerWinogradOutput:
    """Transforms the results of one convolution.

    Attributes:
        u: `[cores, vectors of a panel, tiles, n * n, lanes]` int32.
        start: `[K]` int32, what makes up for the zero point of x.
        facts: of the CPU.
    """

    config: IntegerWinogradConfig
    blocks: TileBlocks
    u: tirx.Buffer
    start: tirx.Buffer
    epilogue: Epilogue
    facts: CpuFacts

    def tile(self, block: TileBlock, room: Expr, k: Expr, place: tuple[Expr, Expr], channels: int) -> list[tirx.Stmt]:
        """One tile of one vector of output channels, of which the first `channels` count.

        Args:
            room: of u.
            k: the vector's number.
            place: its number in the panel, and the tile.
        """
        from tvm import tirx

        config, u = self.config, self.u
        size, outputs, lanes = config.size, config.outputs, config.tile.lanes
        matrices = integer_transforms(outputs)
        v, tile = place
        oh, ow = self.blocks.result(block, tile)
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

            return self.blocks.within((oh, ow), a, b, loops.vector(channels, one))

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
        problem, outputs = self.blocks.problem, self.config.outputs
        is_whole = problem.out_height % outputs == problem.out_width % outputs == 0
        return (
            is_whole and has_words(self.facts, channels) and IntegerEpilogue.of(self.epilogue, self.facts) is not None
        )
