"""The decoding of stored weights as formulas of TIR; the same bits as `StoredWeight.decode`.

Each answers the whole weight, or the rows of a table, `weight[rows]`, for a tensor of row numbers; those beyond the
ends stand for the rows at the ends. Only the rows that are asked for are read and decoded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgecompile.storage.bit_stream import crosses_bytes
from edgecompile.storage.sparse_formula import decode_sparse

if TYPE_CHECKING:
    from tvm import ir, te

    from edgecompile.storage.operators import Attributes

_BYTE = 8


def formula_of(numbers: Attributes) -> Callable[..., te.Tensor]:
    """That of a call of `decode`, which takes its arguments, and row numbers if rows are asked for.

    Of a sparse weight all rows must be decoded to find one: it takes no row numbers.
    """
    if numbers.method == "half":
        return widen
    if numbers.method == "sparse":
        return functools.partial(decode_sparse, shape=numbers.shape)
    decode = decode_uniform if numbers.method == "uniform" else decode_table
    return functools.partial(decode, bits=numbers.bits, shape=numbers.shape)


def widen(values: te.Tensor, rows: te.Tensor | None = None) -> te.Tensor:
    """float32 of float16 or bfloat16."""
    from tvm import tirx

    return _computed(values.shape, rows, lambda indices: tirx.Cast("float32", values(*indices)))


def decode_uniform(
    stream: te.Tensor,
    scale: te.Tensor,
    zero_point: te.Tensor,
    rows: te.Tensor | None = None,
    *,
    bits: int,
    shape: Sequence[int],
) -> te.Tensor:
    """`scale * float32(code - zero_point)`; arguments as of `CodedWeight`, the codes in a stream."""
    from tvm import tirx

    def value(code: ir.Expr, indices: Sequence[ir.Expr]) -> ir.Expr:
        zero = tirx.Cast("int32", zero_point(*_block(indices, zero_point.shape, shape)))
        return scale(*_block(indices, scale.shape, shape)) * tirx.Cast("float32", code - zero)

    return _decoded(stream, bits, shape, value, rows)


def decode_table(
    stream: te.Tensor,
    scale: te.Tensor,
    table: te.Tensor,
    rows: te.Tensor | None = None,
    *,
    bits: int,
    shape: Sequence[int],
) -> te.Tensor:
    """`scale * table[code]`."""

    def value(code: ir.Expr, indices: Sequence[ir.Expr]) -> ir.Expr:
        return scale(*_block(indices, scale.shape, shape)) * table(code)

    return _decoded(stream, bits, shape, value, rows)


def code_at(stream: te.Tensor, place: ir.Expr, bits: int) -> ir.Expr:
    """int32 code number `place`."""
    from tvm import tirx

    mask = (1 << bits) - 1
    if not crosses_bytes(bits):
        per_byte = _BYTE // bits
        byte = tirx.Cast("int32", stream(tirx.floordiv(place, per_byte)))
        shift = tirx.Cast("int32", tirx.floormod(place, per_byte) * bits)
        return byte if per_byte == 1 else tirx.bitwise_and(tirx.shift_right(byte, shift), tirx.const(mask, "int32"))
    first = tirx.floordiv(place * bits, _BYTE)
    low, high = (tirx.Cast("int32", stream(first + offset)) for offset in (0, 1))
    both = tirx.bitwise_or(low, tirx.shift_left(high, tirx.const(_BYTE, "int32")))
    shift = tirx.Cast("int32", tirx.floormod(place * bits, _BYTE))
    return tirx.bitwise_and(tirx.shift_right(both, shift), tirx.const(mask, "int32"))


def _decoded(
    stream: te.Tensor,
    bits: int,
    shape: Sequence[int],
    value: Callable[[ir.Expr, Sequence[ir.Expr]], ir.Expr],
    rows: te.Tensor | None,
) -> te.Tensor:
    from tvm import tirx

    def element(indices: Sequence[ir.Expr]) -> ir.Expr:
        place: ir.Expr = tirx.IntImm("int64", 0)
        for index, extent in zip(indices, shape, strict=True):
            place = place * extent + index
        return value(code_at(stream, place, bits), indices)

    return _computed([tirx.IntImm("int64", extent) for extent in shape], rows, element)


def _computed(
    shape: Sequence[ir.Expr], rows: te.Tensor | None, element: Callable[[Sequence[ir.Expr]], ir.Expr]
) -> te.Tensor:
    from tvm import te, tirx

    if rows is None:
        return te.compute(shape, lambda *indices: element(indices), name="decoded")
    outer = len(rows.shape)

    def of_row(*indices: ir.Expr) -> ir.Expr:
        asked = tirx.Cast("int64", rows(*indices[:outer]))
        row = tirx.min(tirx.max(asked, tirx.IntImm("int64", 0)), shape[0] - 1)
        return element([row, *indices[outer:]])

    return te.compute([*rows.shape, *shape[1:]], of_row, name="decoded_rows")


def _block(indices: Sequence[ir.Expr], blocks: Sequence[ir.Expr], shape: Sequence[int]) -> list[ir.Expr]:
    """Where a number that runs of elements share lies; see `runs`."""
    from tvm import tirx

    return [
        tirx.floordiv(index, extent // int(block)) for index, block, extent in zip(indices, blocks, shape, strict=True)
    ]
