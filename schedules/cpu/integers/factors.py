"""The factors of x for one step of a dot product: a few neighbouring channels of a pixel, taken as one word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from schedules.cpu import loops
from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr

_WIDENED_AT_ONCE = 16


def load_word(buffer: tirx.Buffer, place: Sequence[Expr], first: Expr, dot: DotProduct) -> Expr:
    """`dot.group` elements of `dot.factor` from `first` on, of x itself or of what was widened of it."""
    from tvm import tirx

    if dot.group == 1:
        value = loops.load(buffer, [*place, first])
        return value if str(buffer.dtype) == dot.factor else tirx.Cast(dot.factor, value)
    return tirx.reinterpret(dot.word, loops.load(buffer, [*place, loops.ramp(first, dot.group)]))


def assembled_word(x: tirx.Buffer, place: Sequence[Expr], first: int, count: int, dot: DotProduct) -> Expr:
    """The last channels of a block, fewer than a word holds, one by one: what lies behind them may be no memory."""
    from tvm import tirx

    word = tirx.const(0, dot.word)
    for at in range(count):
        byte = tirx.reinterpret("uint8", loops.load(x, [*place, loops.index(first + at)]))
        word = word | (tirx.Cast(dot.word, byte) << tirx.const(8 * at, dot.word))
    return word


def widen(x: tirx.Buffer, first: Sequence[Expr], wide: tirx.Buffer, slot: int, channels: int) -> list[tirx.Stmt]:
    """`wide[slot, c] = x[first + c]` for the channels of a strip, zeros up to the end of the last word."""
    from tvm import tirx

    *place, begin = first
    statements = []
    for at in range(0, channels, _WIDENED_AT_ONCE):
        count = min(_WIDENED_AT_ONCE, channels - at)

        def copy(lane: Expr, at: int = at) -> tirx.Stmt:
            value = loops.load(x, [*place, begin + at + lane])
            return loops.store(wide, tirx.Cast("int16", value), [loops.index(slot), loops.index(at) + lane])

        statements.append(loops.vector(count, copy))
    for at in range(channels, int(wide.shape[1])):
        statements.append(loops.store(wide, tirx.const(0, "int16"), [slot, at]))
    return statements


def fetch_words(
    x: tirx.Buffer, places: Sequence[Sequence[Expr]], first: Expr, count: int, dot: DotProduct
) -> tuple[Callable[[int, int], Expr], list[tirx.Stmt]]:
    """`count` words of each pixel in registers; answers (pixel, number) to the word, and the loads."""
    from tvm import tirx

    words = loops.local_buffer([len(places) * count], dot.word, "words")

    def load(place: Sequence[Expr]) -> Expr:
        bytes_ = loops.load(x, [*place, loops.ramp(first, count * dot.group)])
        if dot.group == 1:
            return bytes_ if dot.factor == "int8" else tirx.Cast(f"{dot.factor}x{count}", bytes_)
        return tirx.reinterpret(f"{dot.word}x{count}", bytes_)

    loads = [loops.store(words, load(place), [loops.ramp(at * count, count)]) for at, place in enumerate(places)]
    return lambda pixel, number: loops.load(words, [pixel * count + number]), [loops.allocate(words), *loads]
