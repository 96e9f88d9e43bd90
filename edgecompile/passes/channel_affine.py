"""Multiplications and additions of a number for each channel, one after the other, as one of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tvm
from tvm import relax

_OPERATORS = ("relax.add", "relax.subtract", "relax.multiply", "relax.divide")


@dataclass(frozen=True)
class ChannelAffine:
    """`base * factor + offset`.

    Attributes:
        base: `[N, C, H, W]` float32.
        factor, offset: `[C]` float64, finite.
        between: the results of the steps but the last; nothing else reads them.
    """

    base: relax.Var
    factor: np.ndarray
    offset: np.ndarray
    between: tuple[relax.Var, ...]


def read_channel_affine(
    value: relax.Expr,
    call_of: Callable[[relax.Expr], relax.Call | None],
    is_used_once: Callable[[relax.Expr], bool],
) -> ChannelAffine | None:
    """The longest such chain that ends in `value`, of steps that nothing else reads; None where there is no step.

    Args:
        call_of: the call that defines a variable; None for inputs.
    """
    shape = _shape(value)
    if shape is None or not isinstance(value, relax.Var):
        return None
    factor, offset = np.ones(shape[1]), np.zeros(shape[1])
    base, between = value, list[relax.Var]()
    while base.same_as(value) or is_used_once(base):
        call = call_of(base)
        step = _step(call, shape) if call is not None else None
        if call is None or step is None:
            break
        between.append(base)
        base, numbers = step
        match call.op.name:
            case "relax.add":
                offset = offset + factor * numbers
            case "relax.subtract":
                offset = offset - factor * numbers
            case "relax.multiply":
                factor = factor * numbers
            case _:
                with np.errstate(divide="ignore", invalid="ignore"):
                    factor = factor / numbers
    is_finite = np.isfinite(factor).all() and np.isfinite(offset).all()
    return None if base.same_as(value) or not is_finite else ChannelAffine(base, factor, offset, tuple(between[1:]))


def _step(call: relax.Call, shape: tuple[int, ...]) -> tuple[relax.Var, np.ndarray] | None:
    """What a call reads, and its number for each channel."""
    if call.op.name not in _OPERATORS:
        return None
    turned = [call.args[1], call.args[0]] if call.op.name in ("relax.add", "relax.multiply") else []
    for data, other in (call.args, turned) if turned else (call.args,):
        if isinstance(data, relax.Var) and isinstance(other, tvm.ir.GenericConst) and _shape(data) == shape:
            array = other.value.numpy()
            if array.size == 1:
                return data, np.full(shape[1], array.reshape(()), np.float64)
            if array.shape[-3:] == (shape[1], 1, 1) and array.size == shape[1]:
                return data, array.reshape(-1).astype(np.float64)
    return None


def _shape(value: relax.Expr) -> tuple[int, ...] | None:
    """Of a float32 tensor of four static dimensions."""
    from edgecompile.passes.layouts.tensor_shapes import static_shape

    shape = static_shape(value)
    return shape if shape is not None and len(shape) == 4 and str(value.ty.dtype) == "float32" else None
