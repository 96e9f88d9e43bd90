"""The decoding of a weight without its zeros; the same bits as `SparseWeight.decode`.

    next = 0
    for i in elements, in row-major order:
        weight[i] = 0
        if bit i of mask:
            weight[i] = values[next]
            next = next + 1

Where a value lies depends on all bits before its own, so these loops run in order, once, when a network is opened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvm import te, tirx

_BITS = 8


def decode_sparse(mask: te.Tensor, values: te.Tensor, *, shape: Sequence[int]) -> te.Tensor:
    """The weight, of the dtype of its values; arguments as of `edgecompile.decode`, with as many values as bits."""
    from tvm import te, tirx

    extents = [tirx.IntImm("int64", extent) for extent in shape]
    return te.extern(
        [extents], [mask, values], lambda ins, outs: _loops(*ins, *outs), dtype=[str(values.dtype)], name="decoded"
    )


def _loops(mask: tirx.Buffer, values: tirx.Buffer, weight: tirx.Buffer) -> tirx.Stmt:
    from tvm import tirx
    from tvm.script.ir_builder import IRBuilder
    from tvm.script.ir_builder import tirx as T

    zero = tirx.IntImm("int64", 0)
    with IRBuilder() as builder, T.seq_scope():
        following = T.alloc_buffer([1], "int64", scope="local")
        T.buffer_store(following, zero, [zero])
        with contextlib.ExitStack() as loops:
            indices = [loops.enter_context(T.serial(zero, extent)) for extent in weight.shape]
            place = zero
            for index, extent in zip(indices, weight.shape, strict=True):
                place = place * extent + index
            bit = tirx.shift_right(
                tirx.Cast("int32", mask[tirx.floordiv(place, _BITS)]),
                tirx.Cast("int32", tirx.floormod(place, _BITS)),
            )
            T.buffer_store(weight, tirx.const(0, str(weight.dtype)), indices)
            with T.If(tirx.bitwise_and(bit, tirx.const(1, "int32")) != 0), T.Then():
                T.buffer_store(weight, values[following[zero]], indices)
                T.buffer_store(following, following[zero] + 1, [zero])
    return builder.get().body  # without the scope's own attribute, which LLVM's code generator warns about
