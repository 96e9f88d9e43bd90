"""Tensors that stand for real numbers: `scale * (value - zero_point)`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from tvm import relax

_SIGN = 128  # what an unsigned tensor is moved by


@dataclass(frozen=True)
class Quantized:
    """An int8 tensor, or int16 for a weight whose zero point was taken from it.

    Attributes:
        value: in the new `main`.
        scale: float64 `[]`, or `[channels]` along `axis`.
        zero_point: of the int8 values.
        axis: of the channels; it means nothing for one scale.
    """

    value: relax.Expr
    scale: np.ndarray
    zero_point: int
    axis: int

    @property
    def is_per_tensor(self) -> bool:
        """True where all channels have one scale."""
        return self.scale.ndim == 0

    def is_same_grid(self, other: Quantized) -> bool:
        """True where both have one scale each, the same, and the same zero point."""
        same = self.is_per_tensor and other.is_per_tensor and float(self.scale) == float(other.scale)
        return same and self.zero_point == other.zero_point


@dataclass(frozen=True)
class QuantizedRows:
    """An int8 tensor whose scales are found at run time; the zero point is zero.

    Attributes:
        value: in the new `main`, `[*rows, K]`.
        scales: in the new `main`, float32 `[*rows, 1]`, or ones in the place of rows that share a scale.
    """

    value: relax.Expr
    scales: relax.Expr


@dataclass(frozen=True)
class QuantizedWords:
    """An int16 tensor as `256 * high + (low + 128)`; its zero point is zero.

    Attributes:
        high, low: in the new `main`, int8.
        scale: of the int16 values.
    """

    high: relax.Expr
    low: relax.Expr
    scale: float


@dataclass(frozen=True)
class Parameters:
    """The scale and the zero point of a call of quantize or dequantize.

    Attributes:
        scale: float64 `[]` or `[channels]`.
        zero_point: int64 of the same shape, as the model states it.
        axis: not negative.
        dtype: of the integers.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int
    dtype: str

    @property
    def moved(self) -> int:
        """What is taken from the model's integers to make them int8."""
        return _SIGN if self.dtype == "uint8" else 0

    @property
    def signed_zero_point(self) -> int:
        """Of the int8 values; parameters must be per tensor."""
        return int(self.zero_point) - self.moved

    @property
    def is_usable(self) -> bool:
        """True for 8 bits and positive, finite scales."""
        return self.dtype in ("int8", "uint8") and bool(np.all(np.isfinite(self.scale)) and np.all(self.scale > 0))

    @property
    def is_words(self) -> bool:
        """True for 16 bits, one positive, finite scale and a zero point of zero."""
        return (
            self.dtype == "int16" and self.scale.ndim == 0 and not self.zero_point and 0 < float(self.scale) < math.inf
        )


def read_parameters(call: relax.Call, dtype: str) -> Parameters | None:
    """The parameters of a call of quantize or dequantize; None where they are known at run time only."""
    import tvm

    data, scale, zero_point = call.args
    if not all(isinstance(argument, tvm.ir.GenericConst) for argument in (scale, zero_point)):
        return None
    scales = np.asarray(scale.value.numpy(), np.float64)
    zeros = np.asarray(zero_point.value.numpy(), np.int64)
    if scales.size == zeros.size == 1:
        scales, zeros = scales.reshape(()), zeros.reshape(())
    elif scales.ndim != 1 or zeros.size not in (1, scales.size):
        return None
    axis = int(call.attrs.axis)
    rank = len(data.ty.shape.values)
    return Parameters(
        scales, np.broadcast_to(zeros.reshape(-1) if scales.ndim else zeros, scales.shape), axis % max(rank, 1), dtype
    )
