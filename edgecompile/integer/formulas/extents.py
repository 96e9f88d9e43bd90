"""Extents of tensors, and of sums, as TE wants them: 64 bits wide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvm import ir, te


def numbers_of(shape: Sequence[ir.Expr]) -> tuple[int, ...]:
    """A static shape."""
    return tuple(int(extent) for extent in shape)


def reduction_axis(extent: int, name: str) -> te.tensor.IterVar:
    """What a sum of `extent` terms runs along."""
    from tvm import te, tirx

    return te.reduce_axis((tirx.IntImm("int64", 0), tirx.IntImm("int64", extent)), name)


def extents(*numbers: int) -> list[ir.Expr]:
    """A shape."""
    from tvm import tirx

    return [tirx.IntImm("int64", number) for number in numbers]
