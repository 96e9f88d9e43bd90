"""The ways of operators that put tensors together or take them apart: `concat`, `split` and the fields of a tuple."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import tvm
from tvm import relax

from edgecompile.implementation import Implementations
from edgecompile.passes.layouts.tensor_shapes import block_of
from edgecompile.passes.layouts.way import Way, plain_way

if TYPE_CHECKING:
    from edgecompile.passes.layouts.workshop import Workshop

_CHANNELS = 1


def concat_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """In blocks where every part has the blocks of the whole, so that none is cut."""
    parts, plain = call.args[0], plain_way(call)
    block = _common_block([call.ty, *(part.ty for part in parts)], implementations)
    if block is None or not all(isinstance(part, relax.Var) for part in parts):
        return [plain]
    return [Way(dict.fromkeys(parts, block), block, 0.0, partial(_build_concat, call, block)), plain]


def split_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """In blocks where every part has the blocks of the whole; the result is a tuple of blocked tensors."""
    x, plain = call.args[0], plain_way(call)
    block = _common_block([x.ty, *call.ty.fields], implementations)
    if block is None or not isinstance(x, relax.Var):
        return [plain]
    return [Way({x: block}, block, 0.0, partial(_build_split, call, block)), plain]


def field_ways(value: relax.TupleGetItem, implementations: Implementations) -> Sequence[Way]:
    """A field of a blocked tuple is a blocked tensor."""
    source, plain = value.tuple_value, plain_way(value)
    block = _common_block(list(source.ty.fields), implementations)
    if block is None or not isinstance(source, relax.Var):
        return [plain]
    return [Way({source: block}, block, 0.0, partial(_build_field, value, block)), plain]


def _common_block(types: Sequence[tvm.ir.Type], implementations: Implementations) -> int | None:
    """How many channels lie side by side in tensors of all these types; None where that differs."""
    blocks = {block_of(type_, implementations) for type_ in types}
    return blocks.pop() if len(blocks) == 1 else None


def _build_concat(call: relax.Call, block: int, workshop: Workshop) -> relax.Expr:
    axis = 0 if call.attrs.axis is None else int(call.attrs.axis) % 4
    return relax.op.concat([workshop.read(part, block) for part in call.args[0]], axis)


def _build_split(call: relax.Call, block: int, workshop: Workshop) -> relax.Expr:
    axis, sections = int(call.attrs.axis) % 4, call.attrs.indices_or_sections
    scale = block if axis == _CHANNELS else 1
    is_count = isinstance(sections, int | tvm.tirx.IntImm)
    places = int(sections) if is_count else [int(place) // scale for place in sections]
    return relax.op.split(workshop.read(call.args[0], block), places, axis)


def _build_field(value: relax.TupleGetItem, block: int, workshop: Workshop) -> relax.Expr:
    return relax.TupleGetItem(workshop.read(value.tuple_value, block), value.index)
