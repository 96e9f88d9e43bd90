"""Calls of the integer operators."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import tvm
from tvm import relax

from edgecompile.integer.layer_norm import LayerNormNumbers
from edgecompile.integer.operators.names import (
    ADD,
    CONV2D,
    LAYER_NORM,
    LOOKUP,
    MATMUL,
    MULTIPLY,
    QUANTIZE_ROWS,
    REQUANTIZE,
    RESAMPLE,
    SOFTMAX,
)
from edgecompile.integer.operators.registration import register
from edgecompile.integer.requantization import FixedPoint
from edgecompile.integer.softmax import SoftmaxNumbers

if TYPE_CHECKING:
    from edgecompile.integer.resampling import Taps

_MOST_PRODUCT_SHIFT = 31  # of 2^31 and less


def conv2d(
    x: relax.Expr,
    weight: relax.Expr,
    bias: relax.Expr,
    *,
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    zero_point: int,
) -> relax.Call:
    """int32 sums, see `formulas.convolve`."""
    return _call(
        CONV2D,
        [x, weight, bias],
        strides=list(strides),
        padding=list(padding),
        dilation=list(dilation),
        groups=groups,
        zero_point=zero_point,
    )


def matmul(
    a: relax.Expr,
    b: relax.Expr,
    *,
    zero_point: int,
    other_zero_point: int,
    axes: Sequence[int] = (),
    other_axes: Sequence[int] = (),
) -> relax.Call:
    """int32 sums, see `formulas.multiply`."""
    return _call(
        MATMUL,
        [a, b],
        zero_point=zero_point,
        other_zero_point=other_zero_point,
        axes=list(axes),
        other_axes=list(other_axes),
    )


def requantize(
    x: relax.Expr,
    factor: FixedPoint,
    *,
    axis: int,
    input_zero_point: int,
    zero_point: int,
    low: int = -128,
    high: int = 127,
    dtype: str = "int8",
    is_narrow: bool = False,
) -> relax.Call:
    """int8 of int32 sums, or of int8 with another scale, see `formulas.requantize`; `axis` is that of channels."""
    arguments = [x, relax.const(factor.multiplier, "int32"), relax.const(factor.places, "uint8")]
    return _call(
        REQUANTIZE,
        arguments,
        axis=axis,
        input_zero_point=input_zero_point,
        zero_point=zero_point,
        low=low,
        high=high,
        dtype=dtype,
        is_short=int(factor.is_short),
        is_narrow=int(is_narrow),
    )


def add(
    a: relax.Expr,
    b: relax.Expr,
    *,
    multipliers: tuple[int, int],
    shift: int,
    zero_points: tuple[int, int],
    zero_point: int,
    low: int = -128,
    high: int = 127,
) -> relax.Call:
    """int8 of the sum of two int8 tensors that broadcast, see `formulas.add`."""
    return _call(
        ADD,
        [a, b],
        multipliers=list(multipliers),
        shift=shift,
        zero_points=list(zero_points),
        zero_point=zero_point,
        low=low,
        high=high,
    )


def multiply(
    a: relax.Expr,
    b: relax.Expr,
    factor: FixedPoint,
    *,
    zero_points: tuple[int, int],
    zero_point: int,
    low: int = -128,
    high: int = 127,
) -> relax.Call:
    """int8 of the product, element by element, of two int8 tensors that broadcast, see `formulas.multiply_elements`.

    Args:
        factor: `[]`, below 2^14.
    """
    vanishes = int(factor.shift) > _MOST_PRODUCT_SHIFT  # below half a step, whatever the elements are
    return _call(
        MULTIPLY,
        [a, b],
        multiplier=0 if vanishes else int(factor.multiplier),
        shift=_MOST_PRODUCT_SHIFT if vanishes else int(factor.shift),
        zero_points=list(zero_points),
        zero_point=zero_point,
        low=low,
        high=high,
    )


def resample(x: relax.Expr, rows: Taps, columns: Taps, *, zero_point: int) -> relax.Call:
    """int32 sums of weighted pixels of int8 x, `[N, C, H, W]`, see `formulas.resample`."""
    tables = [relax.const(array, "int32") for taps in (rows, columns) for array in (taps.places, taps.weights)]
    return _call(RESAMPLE, [x, *tables], zero_point=zero_point)


def lookup(x: relax.Expr, table: np.ndarray) -> relax.Call:
    """`table[x + 128]` of int8 x; `table` is `[256]`."""
    return _call(LOOKUP, [x, relax.const(table, str(table.dtype))])


def quantize_rows(x: relax.Expr, *, shared_axes: int) -> relax.Call:
    """int8 of float32 x, and its scales, as a tuple; see `dynamic.quantize_rows`."""
    return _call(QUANTIZE_ROWS, [x], shared_axes=shared_axes)


def softmax(x: relax.Expr, numbers: SoftmaxNumbers) -> relax.Call:
    """int8 of int8 x, along its last axis; see `edgecompile.integer.softmax`."""
    return _call(SOFTMAX, [x], **dataclasses.asdict(numbers))


def layer_norm(x: relax.Expr, numbers: LayerNormNumbers) -> relax.Call:
    """int8 of int8 x, along its last axis; see `edgecompile.integer.layer_norm`."""
    tables = [relax.const(table, "int32") for table in (numbers.gamma, numbers.beta)]
    return _call(LAYER_NORM, [x, *tables], epsilon=numbers.epsilon, shift=numbers.shift)


def _call(name: str, arguments: Sequence[relax.Expr], **attrs: object) -> relax.Call:
    register()
    return relax.Call(tvm.ir.Op.get(name), list(arguments), tvm.ir.make_node("ir.DictAttrs", **attrs))
