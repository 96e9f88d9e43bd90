"""Winograd convolution for 3x3 kernels of stride one: fewer products, between two linear transforms.

    for block of tile rows:                                  # what stays in the second-level cache
        for channels, tile in parallel(...):    v[:, :, c, tile] = B^T x[c, tile] B
        for frequency, panel in parallel(...):  u[f, panel, tiles] = sum over c of v[f, c, tiles] * weight[f, panel, c]
        for channels, tile in parallel(...):    y[k, tile] = epilogue(A^T u[:, :, k, tile] A)

The products are those of `direct_convolution`: rows of tiles times vectors of output channels, a matrix per frequency.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.direct_config import FLOAT_BYTES, MEMORY_BYTES_PER_CYCLE, DirectConfig, summed_blocks
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.factors import Step
from schedules.cpu.weight_stream import WeightStream
from schedules.cpu.winograd_error import LONGEST_SUM
from schedules.cpu.winograd_matrices import TAPS, transform_weight, transforms

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr


@dataclass(frozen=True)
class WinogradConfig:
    """The numbers of the template.

    Attributes:
        outputs: m of the transform; a tile has m x m results.
        rows, vectors, lanes, neighbours: the tile of a product, as in `DirectConfig`.
        tile_rows: rows of tiles that go through all three steps together; divides their number.
    """

    outputs: int
    rows: int
    vectors: int
    lanes: int
    neighbours: int
    tile_rows: int

    @property
    def size(self) -> int:
        """Rows and columns of a transformed tile."""
        return self.outputs + TAPS - 1

    @property
    def panel(self) -> int:
        """Output channels of a tile of a product."""
        return self.vectors * self.lanes

    def tiles(self, problem: Convolution) -> tuple[int, int]:
        """Rows and columns of tiles of one image."""
        return math.ceil(problem.out_height / self.outputs), math.ceil(problem.out_width / self.outputs)

    @staticmethod
    def choose(problem: Convolution, outputs: int, facts: CpuFacts) -> WinogradConfig:
        """Blocks whose transformed tiles fill half of the second-level cache."""
        size = outputs + TAPS - 1
        height, width = math.ceil(problem.out_height / outputs), math.ceil(problem.out_width / outputs)
        row_bytes = size**2 * width * (problem.in_channels + problem.out_channels) * FLOAT_BYTES
        weight_bytes = size**2 * problem.in_channels * problem.out_channels * FLOAT_BYTES
        parts = [part for part in range(1, height + 1) if height % part == 0]
        fitting = [part for part in parts if part * row_bytes <= facts.l2_bytes // 2]
        # Weights beyond the cache are read again for every block: then one block does all tiles.
        tile_rows = height if weight_bytes > facts.l2_bytes else max(fitting, default=1)
        product = Convolution(1, problem.in_channels, problem.out_channels, 1, tile_rows * width)
        tile = DirectConfig.choose(product, problem.in_channels, facts)
        return WinogradConfig(outputs, tile.rows, tile.vectors, tile.lanes, tile.neighbours, tile_rows)

    def cycles(self, problem: Convolution, facts: CpuFacts) -> float:
        """What one core needs: products, transforms, and the weights' way from memory."""
        height, width = self.tiles(problem)
        blocks = problem.batch * height // self.tile_rows
        product = Convolution(1, problem.in_channels, problem.out_channels, 1, self.tile_rows * width)
        tile = DirectConfig(self.rows, self.vectors, self.lanes, 1, True, self.neighbours)
        work = tile.work(product, facts) * self.size**2 * blocks
        weight_bytes = self.size**2 * problem.in_channels * problem.out_channels * FLOAT_BYTES
        reads = weight_bytes * (blocks if weight_bytes > facts.l2_bytes else 1) / MEMORY_BYTES_PER_CYCLE
        vectors = problem.batch * height * width * (problem.in_channels + problem.out_channels) / self.lanes
        transform = 2 * self.size**3 / facts.fma_ports + 4 * self.size**2  # sums; loads and stores
        return work + reads + vectors * transform


def fits(problem: Convolution, in_block: int, out_block: int, facts: CpuFacts) -> bool:
    """True for 3x3 kernels of stride one between tensors in blocks of one vector."""
    lanes = facts.vector_bytes // FLOAT_BYTES
    plain = problem.strides == problem.dilations == (1, 1) and problem.groups == 1
    return plain and problem.kernel == (TAPS, TAPS) and in_block == out_block == lanes


def pack_winograd(weight: np.ndarray, config: WinogradConfig) -> list[np.ndarray]:
    """The arrays that `convolve_winograd` takes beside x: the transformed weight
    `[n * n, panels, C, panel]`, and B^T and A^T."""
    transformed = transform_weight(weight, config.outputs)
    size, _, out_channels, in_channels = transformed.shape
    panels = transformed.reshape(size * size, out_channels // config.panel, config.panel, in_channels)
    matrices = transforms(config.outputs)
    packed = np.ascontiguousarray(panels.transpose(0, 1, 3, 2))
    return [packed, matrices.input.astype(np.float32), matrices.output.astype(np.float32)]


def convolve_winograd(
    x: te.Tensor,
    weight: te.Tensor,
    b: te.Tensor,
    a: te.Tensor,
    problem: Convolution,
    config: WinogradConfig,
    attributes: dict[str, str],
) -> te.Tensor:
    """The three steps as formulas; x and the result are `[N, C / lanes, H, W, lanes]`."""
    from tvm import te, tirx

    size, outputs, lanes = config.size, config.outputs, config.lanes
    height, width = config.tiles(problem)
    top, left, _, _ = problem.padding
    blocks = problem.in_channels // lanes
    count = problem.batch * height * width

    def axis(extent: int, name: str) -> tirx.IterVar:
        return te.reduce_axis((loops.index(0), loops.index(extent)), name)

    def extents(*numbers: int) -> list[Expr]:
        return [loops.index(number) for number in numbers]

    i, j = axis(size, "i"), axis(size, "j")

    def transformed(r: Expr, s: Expr, block: Expr, tile: Expr, lane: Expr) -> Expr:
        ih = tile // width % height * outputs + i - top
        iw = tile % width * outputs + j - left
        inside = tirx.all(ih >= 0, ih < problem.height, iw >= 0, iw < problem.width)
        read = tirx.if_then_else(inside, x(tile // (height * width), block, ih, iw, lane), tirx.const(0.0, x.dtype))
        return te.sum(b(r, i) * b(s, j) * read, axis=[i, j])

    v = te.compute(extents(size, size, blocks, count, lanes), transformed, name="winograd_input", attrs=attributes)
    c = axis(problem.in_channels, "c")

    def multiplied(r: Expr, s: Expr, k: Expr, tile: Expr) -> Expr:
        factor = weight(r * size + s, k // config.panel, c, k % config.panel)
        return te.sum(v(r, s, c // lanes, tile, c % lanes) * factor, axis=[c])

    u = te.compute(
        extents(size, size, problem.out_channels, count), multiplied, name="winograd_products", attrs=attributes
    )
    p, q = axis(size, "p"), axis(size, "q")

    def output(n: Expr, block: Expr, h: Expr, w: Expr, lane: Expr) -> Expr:
        tile = (n * height + h // outputs) * width + w // outputs
        return te.sum(a(h % outputs, p) * a(w % outputs, q) * u(p, q, block * lanes + lane, tile), axis=[p, q])

    shape = extents(problem.batch, problem.out_channels // lanes, problem.out_height, problem.out_width, lanes)
    return te.compute(shape, output, name="conv2d_winograd", attrs=attributes)


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
        config, problem = self.config, self.problem
        height, width = config.tiles(problem)
        tiles = config.tile_rows * width
        dtype = str(self.x.dtype)
        frequencies = config.size**2
        v = loops.local_buffer([frequencies, problem.in_channels // config.lanes, tiles, config.lanes], dtype, "v")
        u = loops.local_buffer([frequencies, problem.out_channels // config.lanes, tiles, config.lanes], dtype, "u")
        blocks = height // config.tile_rows

        def block(index: Expr) -> list[tirx.Stmt]:
            image, first = index // blocks, index % blocks * config.tile_rows
            return [
                self._each_tile(tiles, int(v.shape[1]), lambda c, tile: self._transform_in(v, image, first, c, tile)),
                self._multiply(v, u, tiles),
                self._each_tile(tiles, int(u.shape[1]), lambda k, tile: self._transform_out(u, image, first, k, tile)),
            ]

        return loops.sequence(
            [loops.allocate(v), loops.allocate(u), loops.serial(problem.batch * blocks, block, "block")]
        )

    @staticmethod
    def _each_tile(tiles: int, channels: int, body: Callable[[Expr, Expr], list[tirx.Stmt]]) -> tirx.Stmt:
        return loops.parallel(channels * tiles, lambda task: body(task // tiles, task % tiles))

    def _place(self, first: Expr, tile: Expr) -> tuple[Expr, Expr]:
        """The first output row and column of a tile of a block."""
        _, width = self.config.tiles(self.problem)
        return (first + tile // width) * self.config.outputs, tile % width * self.config.outputs

    def _transform_in(self, v: tirx.Buffer, image: Expr, first: Expr, c: Expr, tile: Expr) -> list[tirx.Stmt]:
        from tvm import tirx

        config, problem = self.config, self.problem
        size, lanes = config.size, config.lanes
        top, left, _, _ = problem.padding
        oh, ow = self._place(first, tile)
        row, column = oh - top, ow - left
        patch = _Square(size, size, lanes, str(self.x.dtype), "patch")
        half = _Square(size, size, lanes, str(self.x.dtype), "half")

        def read(i: int, j: int, *, guarded: bool) -> tirx.Stmt:
            def one(lane: Expr) -> tirx.Stmt:
                value = loops.load(self.x, [image, c, row + i, column + j, lane])
                if guarded:
                    ih, iw = row + i, column + j
                    inside = tirx.all(ih >= 0, ih < problem.height, iw >= 0, iw < problem.width)
                    value = tirx.if_then_else(inside, value, tirx.const(0.0, str(self.x.dtype)))
                return patch.put(i, j, lane, value)

            return loops.vector(lanes, one)

        inside = tirx.all(row >= 0, row + size <= problem.height, column >= 0, column + size <= problem.width)
        matrix = transforms(config.outputs).input

        def store(r: int, s: int, lane: Expr, value: Expr) -> tirx.Stmt:
            return loops.store(v, value, [r * size + s, c, tile, lane])

        def transform(*, guarded: bool) -> list[tirx.Stmt]:
            return _both_sides(matrix, lambda i, j: read(i, j, guarded=guarded), patch, half, store)

        # Not only the reads: what they bring would wait in memory where both branches meet.
        return [
            loops.allocate(patch.buffer),
            loops.allocate(half.buffer),
            loops.when(inside, transform(guarded=False), transform(guarded=True)),
        ]

    def _multiply(self, v: tirx.Buffer, u: tirx.Buffer, tiles: int) -> tirx.Stmt:
        config = self.config
        panels = int(self.weight.shape[1])
        full, rest = divmod(tiles, config.rows)

        def task(index: Expr) -> list[tirx.Stmt]:
            f, panel = index // panels, index % panels
            statements, zero = loops.hidden_zero(index)

            def product(start: Expr, rows: int) -> list[tirx.Stmt]:
                return self._product(v, u, f, panel, start, rows, zero)

            if full:
                statements.append(loops.serial(full, lambda t: product(t * config.rows, config.rows), "tile"))
            if rest:
                statements += product(loops.index(full * config.rows), rest)
            return statements

        return loops.parallel(config.size**2 * panels, task)

    def _product(
        self, v: tirx.Buffer, u: tirx.Buffer, f: Expr, panel: Expr, start: Expr, rows: int, zero: Expr
    ) -> list[tirx.Stmt]:
        config = self.config
        lanes = config.lanes
        sums = Accumulators.make(rows, config.vectors, lanes, str(v.dtype))
        tiles, channels = int(v.shape[2]), int(self.weight.shape[2])
        stream = WeightStream(self.weight, math.ceil(tiles / config.rows), channels, config.panel)
        behind = [f, panel, loops.index(channels), loops.index(0)]

        def products(sums: Accumulators, block: Expr) -> list[tirx.Stmt]:
            def read(row: int, inner: Expr) -> Expr:
                return loops.load(v, [f, block, start + row, inner])

            def multiply(row: int, vector: int, factor: Expr, inner: Expr) -> tirx.Stmt:
                def product(lane: Expr) -> Expr:
                    return factor * loops.load(self.weight, [f, panel, block * lanes + inner, lane + vector * lanes])

                return sums.add_to(row, vector, product)

            step = Step(range(rows), config.vectors, config.neighbours, str(v.dtype))
            if not stream.pays(self.facts):
                return step.repeat(lanes, read, multiply)
            request = stream.requests(behind, start // config.rows, block * lanes)
            return step.repeat(lanes, read, multiply, stream.strip, request)

        def finish(row: int, vector: int, lane: Expr) -> tirx.Stmt:
            return loops.store(u, sums.get(row, vector, lane), [f, panel * config.vectors + vector, start + row, lane])

        blocks, short = int(v.shape[1]), summed_blocks(int(v.shape[1]), lanes, LONGEST_SUM)

        def part(sums: Accumulators, index: Expr) -> list[tirx.Stmt]:
            return [loops.serial(short, lambda block: products(sums, index * short + block), "block")]

        if short == blocks:
            return [*sums.start(), *part(sums, loops.index(0)), *sums.each(finish)]
        return [*sums.start(), sums.add_parts(zero + blocks // short, part), *sums.each(finish)]

    def _transform_out(self, u: tirx.Buffer, image: Expr, first: Expr, k: Expr, tile: Expr) -> list[tirx.Stmt]:
        from tvm import tirx

        config, problem = self.config, self.problem
        size, outputs, lanes = config.size, config.outputs, config.lanes
        oh, ow = self._place(first, tile)
        square = _Square(size, size, lanes, str(u.dtype), "square")
        half = _Square(outputs, size, lanes, str(u.dtype), "half")

        def read(i: int, j: int) -> tirx.Stmt:
            return loops.vector(
                lanes, lambda lane: square.put(i, j, lane, loops.load(u, [i * size + j, k, tile, lane]))
            )

        def store(a: int, b: int, lane: Expr, value: Expr) -> tirx.Stmt:
            indices = [image, k, oh + a, ow + b, lane]
            return loops.store(self.epilogue.target, self.epilogue.apply(value, indices), indices)

        def guard(a: int, b: int, statement: tirx.Stmt) -> tirx.Stmt:
            conditions = []
            if problem.out_height % outputs and a:
                conditions.append(oh + a < problem.out_height)
            if problem.out_width % outputs and b:
                conditions.append(ow + b < problem.out_width)
            return loops.when(tirx.all(*conditions), [statement]) if conditions else statement

        return [
            loops.allocate(square.buffer),
            loops.allocate(half.buffer),
            *_both_sides(transforms(outputs).output, read, square, half, store, guard),
        ]


class _Square:
    """A small matrix of vectors in registers."""

    def __init__(self, rows: int, columns: int, lanes: int, dtype: str, name: str) -> None:
        self.columns = columns
        self.lanes = lanes
        self.buffer = loops.local_buffer([rows * columns * lanes], dtype, name)

    def get(self, i: int, j: int, lane: Expr) -> Expr:
        return loops.load(self.buffer, [lane + (i * self.columns + j) * self.lanes])

    def put(self, i: int, j: int, lane: Expr, value: Expr) -> tirx.Stmt:
        return loops.store(self.buffer, value, [lane + (i * self.columns + j) * self.lanes])


def _both_sides(
    matrix: np.ndarray,
    read: Callable[[int, int], tirx.Stmt],
    square: _Square,
    half: _Square,
    store: Callable[[int, int, Expr, Expr], tirx.Stmt],
    guard: Callable[[int, int, tirx.Stmt], tirx.Stmt] = lambda a, b, statement: statement,
) -> list[tirx.Stmt]:
    """`matrix @ square @ matrix^T`, `half` holding the product of the first two, each result given to `store`.

    Column by column: `read` fills one element of the square, shortly before it is used.
    """
    rows, size = matrix.shape

    def first(r: int, j: int) -> Callable[[Expr], tirx.Stmt]:
        return lambda lane: half.put(r, j, lane, _combination(matrix[r], [square.get(i, j, lane) for i in range(size)]))

    def second(r: int, s: int) -> Callable[[Expr], tirx.Stmt]:
        return lambda lane: store(r, s, lane, _combination(matrix[s], [half.get(r, j, lane) for j in range(size)]))

    statements: list[tirx.Stmt] = []
    for j in range(size):
        statements += [read(i, j) for i in range(size)]
        statements += [loops.vector(square.lanes, first(r, j)) for r in range(rows)]
    return statements + [
        guard(r, s, loops.vector(square.lanes, second(r, s))) for r in range(rows) for s in range(rows)
    ]


def _combination(coefficients: Sequence[float], values: Sequence[Expr]) -> Expr:
    """The sum of the values times their coefficients, without products by 0 and 1."""
    from tvm import tirx

    total: Expr | None = None
    for coefficient, value in zip(coefficients, values, strict=True):
        if coefficient == 0:
            continue
        term = value if coefficient == 1 else value * tirx.const(float(coefficient), str(value.ty.dtype))
        total = term if total is None else total + term
    assert total is not None, "a transform has no empty row"
    return total
