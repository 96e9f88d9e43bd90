"""The products of a block of input channels: for one tap of the kernel, or for a line of taps on widened pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from schedules.cpu import loops
from schedules.cpu.integers.config import strips
from schedules.cpu.integers.factors import assembled_word, fetch_words, load_word, widen
from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr

    Statements = list[tirx.Stmt]
    Place = Sequence[Expr]  # where the channels of a pixel begin in x, without the index of the channel

STRIP = 64  # channels widened together: with the pixels of the largest tiles they stay in the first-level cache


def tap_products(
    x: tirx.Buffer,
    met: Mapping[int, Place],
    dot: DotProduct,
    neighbours: int,
    multiply: Callable[[int, Expr, Expr], Statements],
    stream: tuple[int, Callable[[Expr], Statements]] | None = None,
) -> Statements:
    """All channels of a block with one tap.

    Args:
        met: by row of the tile, the pixel that meets the tap.
        neighbours: steps whose factors one load brings.
        multiply: by row, its factors, and the number of the step.
        stream: what asks for the next weights: the steps between two requests, and by its number, a request.
    """
    if not met:
        return []
    in_block, size = int(x.shape[-1]), dot.group
    whole, rest = divmod(in_block, size)

    def one(group: Expr) -> Statements:
        return [
            statement
            for row, place in met.items()
            for statement in multiply(row, load_word(x, place, group * size, dot), group)
        ]

    def several(number: Expr) -> Statements:
        words, loads = fetch_words(x, list(met.values()), number * (neighbours * size), neighbours, dot)
        products = [
            statement
            for k in range(neighbours)
            for at, row in enumerate(met)
            for statement in multiply(row, words(at, k), number * neighbours + k)
        ]
        return [*loads, *products]

    statements: Statements = []
    fetched = whole // neighbours * neighbours if neighbours > 1 else 0
    if fetched:
        statements += _streamed(fetched // neighbours, several, "fetch", neighbours, stream)
    if whole > fetched:
        statements += _streamed(whole, one, "group", 1, None if fetched else stream, fetched)
    if rest:
        for row, place in met.items():
            statements += multiply(row, assembled_word(x, place, whole * size, rest, dot), loops.index(whole))
    return statements


def window_products(
    x: tirx.Buffer,
    met: Mapping[tuple[int, int], tuple[int, Place]],
    dot: DotProduct,
    multiply: Callable[[int, Expr, int, Expr], Statements],
) -> Statements:
    """One line of the kernel on pixels of one word each, where the instruction takes any word of a register.

    All pixels that the line meets lie side by side, a few to a register.

    Args:
        met, multiply: as for `line_products`.
    """
    if not met:
        return []
    places = dict(met.values())
    first, size = min(places), dot.group
    count = max(places) + 1 - first
    words = loops.local_buffer([math.ceil(count / dot.words) * dot.words], dot.word, "words")
    statements = [loops.allocate(words)]
    for at, pixels, runs in strips(count, dot.words):
        for begin in range(at, at + pixels * runs, pixels):
            # A pixel between two that are met is met too, or lies within the image at least.
            place = _moved(places[first], begin)
            loaded = loops.load(x, [*place, loops.ramp(0, pixels * size)])
            kind = dot.word if pixels == 1 else f"{dot.word}x{pixels}"
            where = loops.index(begin) if pixels == 1 else loops.ramp(begin, pixels)
            statements.append(loops.store(words, _reinterpreted(kind, loaded), [where]))
    for column in sorted({j for _, j in met}):
        for (row, j), (pixel, _) in met.items():
            if j == column:
                statements += multiply(row, loops.load(words, [pixel - first]), j, loops.index(0))
    return statements


def _streamed(
    count: int,
    body: Callable[[Expr], Statements],
    name: str,
    steps: int,
    stream: tuple[int, Callable[[Expr], Statements]] | None,
    start: int = 0,
) -> Statements:
    """A loop from `start` to `count` of bodies of some `steps` each, with a request of the stream before each strip."""
    strip = max(1, stream[0] // steps) if stream is not None else count
    strips, rest = divmod(count - start, strip)
    if stream is None or not strips:
        return [loops.serial(count - start, body, name, start)]
    request = stream[1]

    def one(at: Expr) -> Statements:
        return [*request(at), loops.serial(strip, body, name, at * strip)]

    left = [loops.serial(rest, body, name, strips * strip)] if rest else []
    return [loops.serial(strips, one, "strip"), *left]


def line_products(
    x: tirx.Buffer,
    met: Mapping[tuple[int, int], tuple[int, Place]],
    dot: DotProduct,
    multiply: Callable[[int, Expr, int, Expr], Statements],
) -> Statements:
    """All channels of a block with one line of the kernel; each pixel is widened once, a strip of channels at a time.

    Args:
        met: by row of the tile and column of the kernel, the pixel that they meet: its number along the line, and where
            it lies.
        multiply: by row, its factors, column, and the number of the step.
    """
    if not met:
        return []
    places = dict(met.values())
    slots = {pixel: slot for slot, pixel in enumerate(sorted(places))}
    size = dot.group

    def strip(first: Expr, channels: int) -> Statements:
        room = math.ceil(channels / size) * size
        wide = loops.local_buffer([len(slots), room], "int16", "wide")
        statements = [loops.allocate(wide)]
        for pixel, slot in slots.items():
            statements += widen(x, [*places[pixel], first], wide, slot, channels)
        for column in sorted({j for _, j in met}):

            def one(group: Expr, column: int = column) -> Statements:
                return [
                    statement
                    for (row, j), (pixel, _) in met.items()
                    if j == column
                    for statement in multiply(
                        row, load_word(wide, [loops.index(slots[pixel])], group * size, dot), j, first // size + group
                    )
                ]

            statements.append(loops.serial(room // size, one, "group"))
        return statements

    statements: Statements = []
    for first, channels, count in strips(int(x.shape[-1]), STRIP):

        def one_strip(at: Expr, first: int = first, channels: int = channels) -> Statements:
            return strip(at * STRIP + first, channels)

        statements.append(loops.serial(count, one_strip, "strip"))
    return statements


def _moved(place: Place, columns: int) -> list[Expr]:
    """The pixel so many columns to the right."""
    *line, column = place
    return [*line, column + columns]


def _reinterpreted(dtype: str, value: Expr) -> Expr:
    from tvm import tirx

    return tirx.reinterpret(dtype, value)
