"""Direct convolution, and matrix products as its 1x1 case, on channel-blocked tensors.

    y[n, k, h, w] = sum over c, i, j of  x[n, c, h*s + i*d - p, w*s + j*d - p] * weight[k, c, i, j]

The accumulators of `rows` neighbouring pixels times `vectors` vectors of output channels stay in registers while all
products of a chunk of input channels are added:

    for band, panel in parallel(...):              # a panel: `vectors` vectors of output channels
        for chunk in ...:                          # input channels whose weights stay in cache
            for tile in ...:                       # rows pixels along the width
                for c, i, j in chunk:
                    for row in unrolled(rows):     # a scalar of x, broadcast
                        for v in unrolled(vectors):
                            sums[row, v] += x[...] * weight[panel, c, i, j, v]
                y[tile] = epilogue(sums)           # or the partial sums, before the last chunk
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.bands import Bands
from schedules.cpu.direct.config import FLOAT_BYTES, DirectConfig
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.factors import Step, multiply_line
from schedules.cpu.image_tiles import ImageTiles, Tile, in_blocks
from schedules.cpu.weight_stream import WeightStream

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.accumulators import PerVector
    from schedules.cpu.loops import Expr, Index


@dataclass(frozen=True)
class _Task:
    """Where the loops around a tile stand.

    Attributes:
        image: of the batch.
        band: of pixels.
        panel: of output channels.
        chunk: of input channels; None where all are one chunk.
    """

    image: Expr
    band: Expr
    panel: Expr
    chunk: Expr | None


@dataclass(frozen=True)
class DirectConvolution:
    """Makes the loops of one convolution.

    Attributes:
        x: `[N, C, H, W]` or `[N, C/b, H, W, b]`; `[*rows, C]` for a product of matrices.
        weight: `[panels, blocks of input channels, KH, KW, block, panel]`.
        is_product: the rows of x are its pixels, and the result is `[*rows, K]`.
        facts: of the CPU.
    """

    problem: Convolution
    config: DirectConfig
    x: tirx.Buffer
    weight: tirx.Buffer
    epilogue: Epilogue
    is_product: bool
    facts: CpuFacts

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        if self._chunks_outside:
            return loops.serial(self._chunk_count, lambda chunk: [self._chunk_of_all(chunk)], "chunk")
        return self._bands.tasks(self._chunks)

    def _chunk_of_all(self, chunk: Expr) -> tirx.Stmt:
        bands = self._bands

        def task(index: Expr) -> list[tirx.Stmt]:
            return self._one_band(loops.index(0), index % bands.count, index // bands.count, chunk)

        return loops.parallel(bands.count * self._panels, task)

    @property
    def _chunks_outside(self) -> bool:
        """True where x exceeds the cache: each chunk of it stays there while all panels read it."""
        x_bytes = math.prod(int(extent) for extent in self.x.shape) * FLOAT_BYTES
        in_one_go = self._chunk_count == 1 or self.config.pixels_outside
        return self.is_product and not in_one_go and x_bytes > self.facts.l2_bytes // 2

    @property
    def _panels(self) -> int:
        return int(self.weight.shape[0])

    @property
    def _chunk_count(self) -> int:
        """One where partial sums would not fit the elements of the result."""
        if str(self.epilogue.target.dtype) != str(self.epilogue.anchor.dtype):
            return 1
        return int(self.weight.shape[1]) // self.config.chunk

    @property
    def _bands(self) -> Bands:
        return Bands(self.problem, self.config.rows, self._panels, self.config.pixels_outside, self.facts.num_cores)

    def _chunks(self, image: Expr, band: Expr, panel: Expr) -> list[tirx.Stmt]:
        if self._chunk_count == 1:
            return self._one_band(image, band, panel, None)
        return [loops.serial(self._chunk_count, lambda chunk: self._one_band(image, band, panel, chunk), "chunk")]

    def _one_band(self, image: Expr, band: Expr, panel: Expr, chunk: Expr | None) -> list[tirx.Stmt]:
        task = _Task(image, band, panel, chunk)
        return self._bands.tiles(band, lambda tile: self._tile(task, tile))

    @property
    def _tiles(self) -> ImageTiles:
        return ImageTiles(self.problem, self.config.rows)

    def _tile(self, task: _Task, tile: Tile) -> list[tirx.Stmt]:
        """The sums of one tile, in registers from their start to their end."""
        config = self.config
        sums = Accumulators.make(tile.rows, config.vectors, config.lanes, str(self.x.dtype))
        target = self.epilogue.target

        def join(row: int, v: int, lane: Expr) -> tirx.Stmt:
            earlier = loops.load(target, self._output(task, tile, row, v, lane))
            return sums.put(earlier + sums.get(row, v, lane), row, v, lane)

        def keep(row: int, v: int, lane: Expr) -> tirx.Stmt:
            return loops.store(target, sums.get(row, v, lane), self._output(task, tile, row, v, lane))

        def finish(row: int, v: int, lane: Expr) -> tirx.Stmt:
            indices = self._output(task, tile, row, v, lane)
            return self.epilogue.store(sums.get(row, v, lane), indices)

        def multiply(row: int, v: int, factor: Expr, weight: Sequence[Index]) -> tirx.Stmt:
            def product(lane: Expr) -> Expr:
                return factor * loops.load(self.weight, [*weight, lane + v * config.lanes])

            return sums.add_to(row, v, product)

        def by_vector(one: PerVector) -> list[tirx.Stmt]:
            return self._by_vector(task, sums, one)

        reduction = self._reduction(task, tile, multiply)
        if task.chunk is None:
            return [*sums.start(), *reduction, *by_vector(finish)]
        last = task.chunk.equal(self._chunk_count - 1)
        return [
            *sums.start(),
            *reduction,
            loops.when(task.chunk > 0, by_vector(join)),
            loops.when(last, by_vector(finish), by_vector(keep)),
        ]

    def _reduction(
        self, task: _Task, tile: Tile, multiply: Callable[[int, int, Expr, Sequence[Index]], tirx.Stmt]
    ) -> list[tirx.Stmt]:
        """The loops over a chunk of input channels and the kernel."""
        blocks, in_block = int(self.weight.shape[1]) // self._chunk_count, int(self.weight.shape[4])
        first = task.chunk * blocks if task.chunk is not None else loops.index(0)
        height, width = self.problem.kernel
        stream = WeightStream(
            self.weight, self._bands.tiles_of_one, blocks * height * width * in_block, self.config.panel
        )
        next_panel = task.panel + 1 if self._chunks_outside else task.panel
        behind = [self._weight(next_panel), *stream.begin(first, 0 if self._chunks_outside else blocks)]
        at_border = self._tiles.touches_border(tile)  # there each column of the kernel has its own products

        def channels(block: Expr, i: Expr, j: Index) -> list[tirx.Stmt]:
            def place(row: int, ci: Expr) -> list[Expr] | None:
                return self._input(task, tile, row, block + first, i, j, ci)

            def read(row: int, ci: Expr) -> Expr:
                return loops.load(self.x, place(row, ci) or ())

            def add(row: int, v: int, factor: Expr, ci: Expr) -> tirx.Stmt:
                return multiply(row, v, factor, [self._weight(task.panel), block + first, i, j, ci])

            rows = [row for row in range(tile.rows) if place(row, loops.index(0)) is not None]
            if not rows:
                return []
            step = Step(rows, self.config.vectors, self.config.neighbours, str(self.x.dtype))
            if not stream.pays(self.facts):
                return step.repeat(in_block, read, add)
            done = ((block * height + i) * width + j) * in_block
            request = stream.requests(behind, self._bands.turn(tile, task.band), done)
            return step.repeat(in_block, read, add, stream.strip, request)

        def columns(block: Expr, i: Expr) -> list[tirx.Stmt]:
            if self.config.neighbours > 1 and in_block == 1:
                return self._line_of_pixels(task, tile, block + first, i, multiply)
            if at_border:
                return [statement for j in range(width) for statement in channels(block, i, j)]
            return [loops.serial(width, lambda j: channels(block, i, j), "j")]

        if not columns(loops.index(0), loops.index(0)):
            return []  # the whole tile lies in the padding
        low, extent = self._tiles.kernel_rows(tile.line)
        return [
            loops.serial(blocks, lambda block: [loops.serial(extent, lambda i: columns(block, i), "i", low)], "block")
        ]

    def _line_of_pixels(
        self,
        task: _Task,
        tile: Tile,
        block: Expr,
        i: Expr,
        multiply: Callable[[int, int, Expr, Sequence[Index]], tirx.Stmt],
    ) -> list[tirx.Stmt]:
        """All columns of the kernel on one channel, whose pixels lie side by side."""
        step, dilation = self.problem.strides[1], self.problem.dilations[1]
        zero = loops.index(0)
        met = {
            (row, j): row * step + j * dilation
            for row in range(tile.rows)
            for j in range(self.problem.kernel[1])
            if self._input(task, tile, row, block, i, j, zero) is not None
        }
        if not met:
            return []
        first = min(met, key=lambda place: met[place])
        origin = self._input(task, tile, first[0], block, i, first[1], zero)
        assert origin is not None  # as for all pixels that are met

        def read(pixel: Expr) -> Expr:
            return loops.load(self.x, [*origin[:3], origin[3] + pixel, *origin[4:]])

        def add(row: int, v: int, j: int, factor: Expr) -> tirx.Stmt:
            return multiply(row, v, factor, [self._weight(task.panel), block, i, j, zero])

        places = {place: pixel - met[first] for place, pixel in met.items()}
        return multiply_line(places, self.config.vectors, self.config.neighbours, str(self.x.dtype), read, add)

    def _input(self, task: _Task, tile: Tile, row: int, block: Expr, i: Expr, j: Index, ci: Expr) -> list[Expr] | None:
        """Where a product's factor lies in x; None when it is padding."""
        if self.is_product:
            return [*self._row(tile.pixel(row)), block * int(self.weight.shape[4]) + ci]
        if tile.line is None:
            place: tuple[Expr, Expr] | None = tile.place(row, self.problem.width)
        else:
            place = self._tiles.source(tile, row, i, j)
        if place is None:
            return None
        if len(self.x.shape) == 4:
            return [task.image, block * int(self.weight.shape[4]) + ci, *place]
        return [task.image, block, *place, ci]

    def _output(self, task: _Task, tile: Tile, row: int, v: int, lane: Expr) -> list[Expr]:
        channel = task.panel * self.config.panel + v * self.config.lanes
        if self.is_product:
            return [*self._row(tile.pixel(row)), channel + lane]
        place = self._place(*tile.place(row, self.problem.width))
        return in_blocks(task.image, place, channel, lane, int(self.epilogue.anchor.shape[4]), self.config.lanes)

    def _weight(self, panel: Expr) -> Expr:
        """Where a panel's weights lie."""
        return panel

    def _place(self, h: Expr, w: Expr) -> tuple[Expr, Expr]:
        """Where a pixel of the result is stored."""
        return h, w

    def _row(self, pixel: Expr) -> list[Expr]:
        """The index of a row of a matrix whose rows have several dimensions."""
        return loops.unflatten(pixel, [int(extent) for extent in self.x.shape[:-1]])

    def _by_vector(self, task: _Task, sums: Accumulators, one: PerVector) -> list[tirx.Stmt]:
        """`one` for every vector of the tile, shortened where the channels end within a vector."""
        return sums.each_of_panel(one, task.panel, self._panels, self.problem.out_channels)
