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
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.integers.dot_sums import add_products, step_weights
from schedules.cpu.integers.products import tap_products
from schedules.cpu.integers.winograd_config import WORD_BYTES, IntegerWinogradConfig
from schedules.cpu.integers.winograd_input import IntegerWinogradInput
from schedules.cpu.integers.winograd_output import IntegerWinogradOutput
from schedules.cpu.weight_stream import WeightStream
from schedules.cpu.winograd.blocks import TileBlock, TileBlocks
from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr
    from schedules.cpu.winograd.blocks import Tasks


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

        source = IntegerWinogradInput(self.problem, self.zero_point, config.outputs, self.x, memory.v, self.facts)

        def transform_in(block: TileBlock, task: Expr) -> list[tirx.Stmt]:
            return blocks.read_line(block, task, functools.partial(source.tile, block))

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
        results = IntegerWinogradOutput(config, blocks, memory.u, self.start, self.epilogue, self.facts)
        whole, rest = divmod(self.problem.out_channels, config.tile.lanes)
        vectors = config.tile.vectors

        def transform(v: Expr, channels: int) -> tirx.Stmt:
            def one(tile: Expr) -> list[tirx.Stmt]:
                return results.tile(block, room, panel * vectors + v, (v, tile), channels)

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
                def weight(v: int, part: int) -> Expr:
                    return step_weights(dot, self.weight, [panel, frequency, index, step, v], part)

                return add_products(sums, dot, row, factor, weight)

            met = {row: [group, frequency, index, first + row] for row in range(rows)}
            following = [panel, frequency + 1, zero, zero, zero, zero]
            requests = stream.requests(following, first // config.rows, index * groups)
            streamed = (stream.strip, requests) if stream.pays(self.facts) else None
            return tap_products(memory.v, met, dot, config.neighbours, multiply, streamed)

        def keep(row: int, v: int, lane: Expr) -> tirx.Stmt:
            return loops.store(memory.u, sums.get(row, v, lane), [room, loops.index(v), first + row, frequency, lane])

        reduction = loops.serial(int(self.x.shape[1]), products, "block")
        return [*sums.start(tirx.const(0, "int32")), reduction, *sums.each(keep)]
