"""Two neighbouring pixels at a time, for instructions that multiply 2x8 bytes by 8x2.

The pixels r and r + 1 times the channels k and k + 1 make one vector of sums, so that two vectors, which lie where
those of r and of r + 1 would lie, hold both pixels' sums of four channels:

    place of r         (r, k)      (r, k + 1)   (r + 1, k)      (r + 1, k + 1)
    place of r + 1     (r, k + 2)  (r, k + 3)   (r + 1, k + 2)  (r + 1, k + 3)

Halves change places before the first product and after the last one; what does it is its own inverse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.integers.factors import assembled_word, load_word
from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr

    Statements = list[tirx.Stmt]
    Multiply = Callable[[int, Expr, Expr], Statements]  # of the pair's first row, its factors, and the step

PIXELS = 2


@dataclass(frozen=True)
class Pair:
    """Where the channels of two pixels begin in x, without the index of the channel.

    Attributes:
        places: None for a pixel that lies in the padding or beyond the tile.
        apart: pixels from the one to the other, all of which lie in x side by side, 1 or 2, and with 2 one behind them;
            0 where nothing is known.
    """

    places: tuple[Sequence[Expr] | None, Sequence[Expr] | None]
    apart: int


def exchange_halves(sums: Accumulators) -> Statements:
    """Two pixels' sums of four channels <-> two matrices, for all pairs; a row without a partner is not there."""
    from tvm import tirx

    assert sums.rows % PIXELS == 0 and sums.lanes == 4
    statements: Statements = []
    for row in range(0, sums.rows, PIXELS):
        for v in range(sums.vectors):
            first, second = tirx.Var("first", _sums_type()), tirx.Var("second", _sums_type())
            statements += [tirx.Bind(first, sums.vector(row, v)), tirx.Bind(second, sums.vector(row + 1, v))]
            for at, half in enumerate((0, 2)):
                exchanged = shuffled([first, second], [half, half + 1, half + 4, half + 5])
                statements.append(sums.replace(exchanged, row + at, v))
    return statements


def pair_products(
    x: tirx.Buffer, met: Mapping[int, Pair], in_block: int, dot: DotProduct, neighbours: int, multiply: Multiply
) -> Statements:
    """All channels of a block with one tap of the kernel.

    Args:
        met: by the first row of each pair, the pixels that meet the tap.
        in_block: channels of a pixel that lie side by side.
        neighbours: steps whose factors are loaded together: 2 or 1.
    """
    if not met:
        return []
    size = dot.group
    whole, rest = divmod(in_block, size)

    def one(group: Expr) -> Statements:
        return [
            statement
            for row, pair in met.items()
            for statement in multiply(row, _step(x, pair, group * size, dot), group)
        ]

    def several(number: Expr) -> Statements:
        words = loops.local_buffer([len(met) * PIXELS * neighbours], dot.word, "words")
        loads: Statements = [loops.allocate(words)]
        for at, pair in enumerate(met.values()):
            for step, factors in enumerate(_two_steps(x, pair, number * (neighbours * size), dot)):
                loads.append(loops.store(words, factors, [loops.ramp((at * neighbours + step) * PIXELS, PIXELS)]))
        products = [
            statement
            for step in range(neighbours)
            for at, row in enumerate(met)
            for statement in multiply(
                row,
                loops.load(words, [loops.ramp((at * neighbours + step) * PIXELS, PIXELS)]),
                number * neighbours + step,
            )
        ]
        return [*loads, *products]

    statements: Statements = []
    fetched = whole // neighbours * neighbours if neighbours > 1 else 0
    if fetched:
        statements.append(loops.serial(fetched // neighbours, several, "fetch"))
    if whole > fetched:
        statements.append(loops.serial(whole - fetched, one, "group", fetched))
    if rest:
        for row, pair in met.items():
            factors = _joined(pair, lambda place: assembled_word(x, place, whole * size, rest, dot))
            statements += multiply(row, factors, loops.index(whole))
    return statements


def shuffled(vectors: Sequence[Expr], places: Sequence[int]) -> Expr:
    """The elements at these places of the vectors, one behind the other."""
    from tvm import tirx

    return tirx.Shuffle(list(vectors), [tirx.const(place, "int32") for place in places])


def _joined(pair: Pair, load: Callable[[Sequence[Expr]], Expr]) -> Expr:
    """One word of each pixel, side by side; zero where there is none."""
    from tvm import tirx

    words = [tirx.const(0, "int64") if place is None else load(place) for place in pair.places]
    return shuffled(words, range(PIXELS))


def _step(x: tirx.Buffer, pair: Pair, first: Expr, dot: DotProduct) -> Expr:
    """A word of each pixel; with one load where they lie side by side, or with one between them (`ld2`)."""
    from tvm import tirx

    if pair.apart and pair.places[0] is not None:
        count = PIXELS * pair.apart
        loaded = loops.load(x, [*pair.places[0], loops.ramp(first, count * dot.group)])
        words = tirx.reinterpret(f"{dot.word}x{count}", loaded)
        return words if pair.apart == 1 else shuffled([words], [0, pair.apart])
    return _joined(pair, lambda place: load_word(x, place, first, dot))


def _two_steps(x: tirx.Buffer, pair: Pair, first: Expr, dot: DotProduct) -> list[Expr]:
    """Two words of each pixel, to be multiplied one after the other: LLVM loads neighbours with one `ld2`."""
    from tvm import tirx

    def load(place: Sequence[Expr], words: int) -> Expr:
        return tirx.reinterpret(f"{dot.word}x{words}", loops.load(x, [*place, loops.ramp(first, words * dot.group)]))

    (a, b), steps = pair.places, range(PIXELS)
    if a is not None and b is not None:
        both = [load(a, 2 * PIXELS)] if pair.apart == 1 else [load(a, PIXELS), load(b, PIXELS)]
        return [shuffled(both, [step, PIXELS + step]) for step in steps]
    nothing = tirx.Broadcast(tirx.const(0, dot.word), PIXELS)
    loaded = [nothing if place is None else load(place, PIXELS) for place in (a, b)]
    return [shuffled(loaded, [step, PIXELS + step]) for step in steps]


def _sums_type() -> tirx.Type:
    from tvm import ir

    return ir.PrimType("int32x4")
