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

from schedules.cpu import loops
from schedules.cpu.direct_config import DirectConfig
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.image_tiles import ImageTiles, Tile

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index

    PerVector = Callable[[int, int, Expr], tirx.Stmt]  # of a tile's row, its vector, and the lane


@dataclass(frozen=True)
class _Task:
    """Where the loops around a tile stand.

    Attributes:
        image: of the batch.
        panel: of output channels.
        chunk: of input channels; None where all are one chunk.
    """

    image: Expr
    panel: Expr
    chunk: Expr | None


@dataclass(frozen=True)
class DirectConvolution:
    """Makes the loops of one convolution.

    Attributes:
        x: `[N, C, H, W]` or `[N, C/b, H, W, b]`; `[*rows, C]` for a product of matrices.
        weight: `[panels, blocks of input channels, KH, KW, block, panel]`.
        is_product: the rows of x are its pixels, and the result is `[*rows, K]`.
        num_cores: how many tasks there should at least be.
    """

    problem: Convolution
    config: DirectConfig
    x: tirx.Buffer
    weight: tirx.Buffer
    epilogue: Epilogue
    is_product: bool
    num_cores: int

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        panels, bands = self._panels, self._bands

        def task(index: Expr) -> list[tirx.Stmt]:
            if self.config.pixels_outside:
                image, band = index // bands, index % bands
                return [loops.serial(panels, lambda panel: self._chunks(image, band, panel), "panel")]
            return self._chunks(index // (bands * panels), index % bands, index // bands % panels)

        tasks = self.problem.batch * bands * (1 if self.config.pixels_outside else panels)
        return loops.parallel(tasks, task)

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
    def _pixels(self) -> int:
        return self.problem.height * self.problem.width

    @property
    def _units(self) -> int:
        """Rows of the image, or tiles of a product of matrices."""
        return math.ceil(self._pixels / self.config.rows) if self.problem.is_pointwise else self.problem.out_height

    @property
    def _band(self) -> int:
        """Units of one task: a row of an image is work enough, and so are a few tiles of a product."""
        if self.config.pixels_outside:
            return max(1, min(self._units // (4 * self.num_cores), 4)) if self.problem.is_pointwise else 1
        return self._units if self._panels >= self.num_cores else math.ceil(self._units / self.num_cores)

    @property
    def _bands(self) -> int:
        return math.ceil(self._units / self._band)

    def _chunks(self, image: Expr, band: Expr, panel: Expr) -> list[tirx.Stmt]:
        pixels = self._product_band if self.problem.is_pointwise else self._image_band
        if self._chunk_count == 1:
            return pixels(_Task(image, panel, None), band)
        return [loops.serial(self._chunk_count, lambda chunk: pixels(_Task(image, panel, chunk), band), "chunk")]

    def _product_band(self, task: _Task, band: Expr) -> list[tirx.Stmt]:
        """Whole tiles in a loop; the pixels that are left, after the last one."""
        from tvm import tirx

        rows = self.config.rows
        full, rest = divmod(self._pixels, rows)
        first = band * self._band
        statements: list[tirx.Stmt] = []
        if full:
            whole = full == self._bands * self._band
            extent = self._band if whole else tirx.min(loops.index(self._band), full - first)
            statements.append(
                loops.serial(extent, lambda tile: self._tile(task, Tile(None, tile * rows, rows)), "tile", first)
            )
        if rest:
            tail = self._tile(task, Tile(None, full * rows, rest))
            statements += [loops.when(band.equal(self._bands - 1), tail)] if self._bands > 1 else tail
        return statements

    def _image_band(self, task: _Task, band: Expr) -> list[tirx.Stmt]:
        from tvm import tirx

        if self._band == 1:
            return self._line(task, band)
        start = band * self._band
        extent: Index = self._band
        if self.problem.out_height % self._band:
            extent = tirx.min(loops.index(self._band), self.problem.out_height - start)
        return [loops.serial(extent, lambda line: self._line(task, line), "line", start)]

    @property
    def _tiles(self) -> ImageTiles:
        return ImageTiles(self.problem, self.config.rows)

    def _line(self, task: _Task, line: Expr) -> list[tirx.Stmt]:
        return self._tiles.of_line(line, lambda tile: self._tile(task, tile))

    def _tile(self, task: _Task, tile: Tile) -> list[tirx.Stmt]:
        """The sums of one tile, in registers from their start to their end."""
        from tvm import tirx

        config = self.config
        dtype = str(self.x.dtype)
        sums = loops.local_buffer([tile.rows * config.panel], dtype, "sums")

        def place(row: int, v: int, lane: Expr) -> list[Index]:
            return [lane + (row * config.vectors + v) * config.lanes]

        def put(value: Expr, row: int, v: int, lane: Expr) -> tirx.Stmt:
            return loops.store(sums, value, place(row, v, lane))

        def clear(row: int, v: int, lane: Expr) -> tirx.Stmt:
            return put(tirx.const(0.0, dtype), row, v, lane)

        def resume(row: int, v: int, lane: Expr) -> tirx.Stmt:
            return put(loops.load(self.epilogue.target, self._output(task, tile, row, v, lane)), row, v, lane)

        def keep(row: int, v: int, lane: Expr) -> tirx.Stmt:
            value = loops.load(sums, place(row, v, lane))
            return loops.store(self.epilogue.target, value, self._output(task, tile, row, v, lane))

        def finish(row: int, v: int, lane: Expr) -> tirx.Stmt:
            indices = self._output(task, tile, row, v, lane)
            value = self.epilogue.apply(loops.load(sums, place(row, v, lane)), indices)
            return loops.store(self.epilogue.target, value, indices)

        def multiply(row: int, factor: Sequence[Expr], weight: Sequence[Index]) -> list[tirx.Stmt]:
            def add(v: int, lane: Expr) -> tirx.Stmt:
                product = loops.load(self.x, factor) * loops.load(self.weight, [*weight, lane + v * config.lanes])
                return put(loops.load(sums, place(row, v, lane)) + product, row, v, lane)

            return [_vector(config.lanes, add, v) for v in range(config.vectors)]

        start = self._each(tile, [config.lanes] * config.vectors, clear)
        reduction = self._reduction(task, tile, multiply)
        if task.chunk is None:
            return [loops.allocate(sums), *start, *reduction, *self._by_vector(task, tile, finish)]
        last = task.chunk.equal(self._chunk_count - 1)
        return [
            loops.allocate(sums),
            *start,
            loops.when(task.chunk > 0, self._by_vector(task, tile, resume)),
            *reduction,
            loops.when(last, self._by_vector(task, tile, finish), self._by_vector(task, tile, keep)),
        ]

    def _reduction(
        self, task: _Task, tile: Tile, multiply: Callable[[int, Sequence[Expr], Sequence[Index]], list[tirx.Stmt]]
    ) -> list[tirx.Stmt]:
        """The loops over a chunk of input channels and the kernel."""
        blocks = int(self.weight.shape[1]) // self._chunk_count
        first = task.chunk * blocks if task.chunk is not None else loops.index(0)
        at_border = self._tiles.touches_border(tile)  # there each column of the kernel has its own products

        def products(block: Expr, i: Expr, j: Index, ci: Expr) -> list[tirx.Stmt]:
            places = [self._input(task, tile, row, block, i, j, ci) for row in range(tile.rows)]
            weight = [task.panel, block, i, j, ci]
            return [s for row, place in enumerate(places) if place is not None for s in multiply(row, place, weight)]

        def channels(block: Expr, i: Expr, j: Index) -> list[tirx.Stmt]:
            if not products(block, i, j, loops.index(0)):
                return []
            return [loops.serial(int(self.weight.shape[4]), lambda ci: products(block, i, j, ci), "ci")]

        def columns(block: Expr, i: Expr) -> list[tirx.Stmt]:
            width = self.problem.kernel[1]
            if at_border:
                return [statement for j in range(width) for statement in channels(block, i, j)]
            return [loops.serial(width, lambda j: channels(block, i, j), "j")]

        low, extent = self._tiles.kernel_rows(tile.line)
        return [
            loops.serial(
                blocks, lambda block: [loops.serial(extent, lambda i: columns(block + first, i), "i", low)], "block"
            )
        ]

    def _input(self, task: _Task, tile: Tile, row: int, block: Expr, i: Expr, j: Index, ci: Expr) -> list[Expr] | None:
        """Where a product's factor lies in x; None when it is padding."""
        if self.is_product:
            return [*self._row(tile.pixel(row)), ci]
        if tile.line is None:
            pixel = tile.pixel(row)
            place: tuple[Expr, Expr] | None = (pixel // self.problem.width, pixel % self.problem.width)
        else:
            place = self._tiles.source(tile, row, i, j)
        if place is None:
            return None
        if len(self.x.shape) == 4:
            return [task.image, block * int(self.weight.shape[4]) + ci, *place]
        return [task.image, block, *place, ci]

    def _output(self, task: _Task, tile: Tile, row: int, v: int, lane: Expr) -> list[Expr]:
        pixel = tile.pixel(row)
        channel = task.panel * self.config.panel + v * self.config.lanes
        if self.is_product:
            return [*self._row(pixel), channel + lane]
        h, w = (
            (tile.line, pixel) if tile.line is not None else (pixel // self.problem.width, pixel % self.problem.width)
        )
        block = int(self.epilogue.anchor.shape[4])
        if block % self.config.lanes == 0:  # a vector lies in one block
            return [task.image, channel // block, h, w, channel % block + lane]
        return [task.image, loops.index(0), h, w, channel + lane]

    def _row(self, pixel: Expr) -> list[Expr]:
        """The index of a row of a matrix whose rows have several dimensions."""
        found: list[Expr] = []
        for extent in reversed([int(extent) for extent in self.x.shape[1:-1]]):
            found.insert(0, pixel % extent)
            pixel = pixel // extent
        return [pixel, *found]

    def _by_vector(self, task: _Task, tile: Tile, one: PerVector) -> list[tirx.Stmt]:
        """`one` for every vector of the tile, shortened where the channels end within a vector."""
        config = self.config
        left = self.problem.out_channels - (self._panels - 1) * config.panel
        short = [min(config.lanes, max(0, left - v * config.lanes)) for v in range(config.vectors)]
        whole = [config.lanes] * config.vectors
        if short == whole or self._panels == 1:
            return self._each(tile, short, one)
        is_last = task.panel.equal(self._panels - 1)
        return [loops.when(is_last, self._each(tile, short, one), self._each(tile, whole, one))]

    def _each(self, tile: Tile, lanes: Sequence[int], one: PerVector) -> list[tirx.Stmt]:
        def at_row(row: int) -> Callable[[int, Expr], tirx.Stmt]:
            return lambda v, lane: one(row, v, lane)

        return [_vector(count, at_row(row), v) for row in range(tile.rows) for v, count in enumerate(lanes) if count]


def _vector(lanes: int, body: Callable[[int, Expr], tirx.Stmt], v: int) -> tirx.Stmt:
    return loops.vector(lanes, lambda lane: body(v, lane))
