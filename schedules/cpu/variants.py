"""Other numbers for a template than its own choice, worth a try where time is measured instead of estimated.

What counting cannot see decides between them: how the caches serve each order of the loops, and what the tail of a tile
costs. Each function lists the best by counting first and leaves out the template's own choice.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu.depthwise_convolution import DepthwiseConfig
from schedules.cpu.direct.config import MOST_ROWS, MOST_VECTORS, DirectConfig, exact_chunks, registers_needed
from schedules.cpu.winograd.config import WinogradConfig

Config = TypeVar("Config", DirectConfig, DepthwiseConfig, WinogradConfig)

MOST_TILES = 4
MOST_DIRECT = 8
MOST_DEPTHWISE = 4
MOST_WINOGRAD = 6


def direct_variants(problem: Convolution, in_block: int, facts: CpuFacts) -> Sequence[DirectConfig]:
    """The best tiles by counting, each in both orders of the loops and with other chunks of input channels."""
    chosen = DirectConfig.choose(problem, in_block, facts)
    chunks = exact_chunks(problem, in_block)
    orders = [order for tile in _tiles(chosen, problem, in_block, facts) for order in _orders(tile, chunks)]
    return _others(orders, chosen, MOST_DIRECT)


def product_tiles(problem: Convolution, facts: CpuFacts) -> Sequence[DirectConfig]:
    """The best tiles by counting, for templates that have one order of loops."""
    chosen = DirectConfig.choose(problem, problem.in_channels, facts)
    return _others(_tiles(chosen, problem, problem.in_channels, facts), chosen, MOST_TILES)


def depthwise_variants(problem: Convolution, block: int, facts: CpuFacts) -> Sequence[DepthwiseConfig]:
    """For each number of tiles along a line, from one, the least rows that give it."""
    chosen = DepthwiseConfig.choose(problem, block, facts)
    width = problem.out_width
    least = {math.ceil(width / rows): rows for rows in range(min(width, facts.vector_registers - 4), 1, -1)}
    tiles = [dataclasses.replace(chosen, rows=rows) for _, rows in sorted(least.items())]
    return _others(tiles, chosen, MOST_DEPTHWISE)


def winograd_variants(problem: Convolution, outputs: int, facts: CpuFacts) -> Sequence[WinogradConfig]:
    """Fewer and more rows of tiles at once, and for those the best tiles of the products."""
    chosen = WinogradConfig.choose(problem, outputs, facts)
    height, width = chosen.tiles(problem)
    parts = [part for part in range(1, height + 1) if height % part == 0]
    at = parts.index(chosen.tile_rows)
    found: list[WinogradConfig] = []
    for tile_rows in dict.fromkeys((chosen.tile_rows, *parts[max(0, at - 1) : at + 2], height)):
        product = Convolution(1, problem.in_channels, problem.out_channels, 1, tile_rows * width)
        best = DirectConfig.choose(product, problem.in_channels, facts)
        for tile in (best, *_tiles(best, product, product.in_channels, facts)[:2]):
            if problem.out_channels % tile.panel == 0:
                found.append(
                    dataclasses.replace(
                        chosen, rows=tile.rows, vectors=tile.vectors, lanes=tile.lanes, tile_rows=tile_rows
                    )
                )
    return _others(found, chosen, MOST_WINOGRAD)


def _tiles(chosen: DirectConfig, problem: Convolution, in_block: int, facts: CpuFacts) -> list[DirectConfig]:
    """For each number of vectors the tile with the fewest cycles, the best of those first."""
    count = math.ceil(problem.out_channels / chosen.lanes)
    every = [
        dataclasses.replace(chosen, rows=rows, vectors=vectors)
        for vectors in range(1, min(count, MOST_VECTORS) + 1)
        if count % vectors == 0
        for rows in range(1, MOST_ROWS + 1)
        if registers_needed(problem, in_block, rows, vectors, chosen.neighbours) <= facts.vector_registers
    ]
    every.sort(key=lambda tile: (tile.work(problem, facts), -tile.rows * tile.vectors))
    best_of_each = {tile.vectors: tile for tile in reversed(every)}
    ordered = sorted(best_of_each.values(), key=lambda tile: tile.work(problem, facts))
    return list(dict.fromkeys((chosen, *ordered)))[:MOST_TILES]


def _orders(tile: DirectConfig, chunks: Sequence[int]) -> Iterator[DirectConfig]:
    """Both orders of the loops over pixels and panels; for weights that are read in turn, other chunks too."""
    yield tile
    yield dataclasses.replace(tile, pixels_outside=not tile.pixels_outside, chunk=chunks[-1])
    if not tile.pixels_outside:
        at = chunks.index(tile.chunk)
        for chunk in chunks[max(0, at - 1) : at + 2]:
            yield dataclasses.replace(tile, chunk=chunk)


def _others(configs: Iterable[Config], chosen: Config, most: int) -> list[Config]:
    """The first ones, each once, without the template's own choice."""
    return [config for config in dict.fromkeys(configs) if config != chosen][:most]
