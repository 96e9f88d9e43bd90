"""The tensor behind a chain of permutations, reshapes and slices, and where in its memory their elements lie."""

from __future__ import annotations

import math
from collections.abc import Mapping

import tvm
from tvm import relax

from edgecompile.passes.layouts.tensor_shapes import static_shape
from edgecompile.passes.strided_view import StridedView

RESHAPES = frozenset(f"relax.{name}" for name in ("reshape", "expand_dims", "squeeze", "flatten"))


def is_call(value: relax.Expr | None, *names: str) -> bool:
    """True for a call of one of Relax's operators `names`."""
    return isinstance(value, relax.Call) and str(getattr(value.op, "name", "")) in {f"relax.{name}" for name in names}


def is_reshape(value: relax.Expr | None) -> bool:
    """True for a call that only gives the elements another shape."""
    return isinstance(value, relax.Call) and str(getattr(value.op, "name", "")) in RESHAPES


def permutation(call: relax.Call) -> list[int]:
    """The axes of a `permute_dims`."""
    rank = len(static_shape(call) or ())
    return [int(axis) % rank for axis in call.attrs.axes] if call.attrs.axes else list(reversed(range(rank)))


def view_of(value: relax.Expr, made: Mapping[relax.Var, relax.Expr]) -> tuple[relax.Expr, StridedView]:
    """The tensor whose elements `value` shows, and where they lie in it; `value` itself where nothing moved them.

    Args:
        value: a tensor of static shape.
        made: what each variable was bound to.
    """
    shape = static_shape(value) or ()
    if isinstance(value, relax.Var) and shape and 0 not in shape:
        moved = _moved(made.get(value), shape, made)
        if moved is not None:
            return moved
    return value, StridedView.contiguous(shape)


def _moved(
    call: relax.Expr | None, shape: tuple[int, ...], made: Mapping[relax.Var, relax.Expr]
) -> tuple[relax.Expr, StridedView] | None:
    if isinstance(call, relax.TupleGetItem):
        parts = made.get(call.tuple_value) if isinstance(call.tuple_value, relax.Var) else None
        return _part(parts, call.index, shape, made) if parts is not None else None
    if not isinstance(call, relax.Call) or not call.args or static_shape(call.args[0]) is None:
        return None
    if is_call(call, "permute_dims"):
        base, view = view_of(call.args[0], made)
        return base, view.permuted(permutation(call))
    if is_reshape(call):
        base, view = view_of(call.args[0], made)
        reshaped = view.reshaped(shape)
        return (base, reshaped) if reshaped is not None else None
    if is_call(call, "strided_slice"):
        return _slice(call, shape, made)
    if is_call(call, "take"):
        return _element(call, made)
    return None


def _part(
    split: relax.Expr, index: int, shape: tuple[int, ...], made: Mapping[relax.Var, relax.Expr]
) -> tuple[relax.Expr, StridedView] | None:
    """One result of a split."""
    if not is_call(split, "split") or static_shape(split.args[0]) is None:
        return None
    sections, axis = split.attrs.indices_or_sections, int(split.attrs.axis) % len(shape)
    if isinstance(sections, int | tvm.tirx.IntImm):
        start = index * math.ceil((static_shape(split.args[0]) or ())[axis] / int(sections))
    else:
        start = int(sections[index - 1]) if index else 0
    base, view = view_of(split.args[0], made)
    return base, view.sliced(axis, start, shape[axis])


def _slice(
    call: relax.Call, shape: tuple[int, ...], made: Mapping[relax.Var, relax.Expr]
) -> tuple[relax.Expr, StridedView] | None:
    """Neighbours along some axes, counted from constants."""
    numbers = [_whole_numbers(argument) for argument in call.args[1:]]
    if len(numbers) < 3 or any(entry is None for entry in numbers):
        return None
    axes, begins, _, *strides = (entry or [] for entry in numbers)
    if any(stride != 1 for entry in strides for stride in entry):
        return None
    base, view = view_of(call.args[0], made)
    for axis, begin in zip(axes, begins, strict=True):
        extent = view.shape[axis]
        start = min(max(begin + extent if begin < 0 else begin, 0), extent)
        view = view.sliced(axis % len(shape), start, shape[axis])
    return base, view


def _element(call: relax.Call, made: Mapping[relax.Var, relax.Expr]) -> tuple[relax.Expr, StridedView] | None:
    """One index along an axis, which goes."""
    index = call.args[1]
    if not isinstance(index, tvm.ir.GenericConst) or len(index.value.shape) or call.attrs.axis is None:
        return None
    base, view = view_of(call.args[0], made)
    axis, at = int(call.attrs.axis) % len(view.shape), int(index.value.numpy())
    if not 0 <= at < view.shape[axis]:
        return None
    part = view.sliced(axis, at, 1)
    return base, StridedView(
        part.shape[:axis] + part.shape[axis + 1 :], part.strides[:axis] + part.strides[axis + 1 :], part.offset
    )


def _whole_numbers(value: relax.Expr) -> list[int] | None:
    if not isinstance(value, relax.Tuple):
        return None
    entries = [getattr(entry, "value", entry) for entry in value.fields]
    if not all(isinstance(entry, int | tvm.tirx.IntImm) for entry in entries):
        return None
    return [int(entry) for entry in entries]
