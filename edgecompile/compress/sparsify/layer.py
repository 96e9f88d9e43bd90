"""`SparseLayer`: a layer with a constant weight, seen as sums over input channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tvm
from tvm import relax


@dataclass(frozen=True)
class SparseLayer:
    """A convolution or product.

    Attributes:
        name: of its variable.
        source: the name of the tensor that it reads.
        operator: of Relax, without its prefix.
        groups: of a convolution; 1 for products.
        weight: float32, as the operator takes it: `[K, C / groups, taps...]`, of transposed convolutions
            `[C, K / groups, taps...]`, of products `[..., C, K]` or `[C]`.
    """

    name: str
    source: str
    operator: str
    groups: int
    weight: np.ndarray

    @property
    def channel_axis(self) -> int:
        """Of the input channels in the tensor that it reads."""
        return -1 if self.operator == "matmul" else 1

    def sums(self) -> np.ndarray:
        """The weight as `[outputs, taps, inputs]`: those of one group of outputs come before those of the next."""
        weight = self.weight
        if self.operator == "matmul":
            inputs, outputs = weight.shape[-2:] if weight.ndim > 1 else (weight.size, 1)
            return weight.reshape(-1, inputs, outputs).swapaxes(1, 2).reshape(-1, 1, inputs)
        if self.operator.endswith("_transpose"):
            inputs, outputs = weight.shape[0] // self.groups, weight.shape[1]
            split = weight.reshape(self.groups, inputs, outputs, -1)
            return split.transpose(0, 2, 3, 1).reshape(self.groups * outputs, -1, inputs)
        return weight.reshape(*weight.shape[:2], -1).swapaxes(1, 2)

    def from_sums(self, array: np.ndarray) -> np.ndarray:
        """The inverse of `sums`, of any dtype."""
        weight = self.weight
        if self.operator == "matmul":
            outputs = weight.shape[-1] if weight.ndim > 1 else 1
            return array.reshape(-1, outputs, array.shape[2]).swapaxes(1, 2).reshape(weight.shape)
        if self.operator.endswith("_transpose"):
            split = array.reshape(self.groups, weight.shape[1], -1, array.shape[2])
            return split.transpose(0, 3, 1, 2).reshape(weight.shape)
        return array.swapaxes(1, 2).reshape(weight.shape)

    def of_inputs(self, channels: np.ndarray) -> np.ndarray:
        """Numbers of the input channels `[C]`, as they stand beside `sums`: `[outputs, 1, inputs]`."""
        outputs = len(self.sums())
        return np.repeat(channels.reshape(self.groups, 1, -1), outputs // self.groups, axis=0)


def read_layer(name: str, call: relax.Call) -> SparseLayer | str:
    """The layer of a call, or why there is none."""
    source, weight = call.args[:2]
    operator = str(call.op.name).removeprefix("relax.")
    if not isinstance(weight, tvm.ir.GenericConst) or not isinstance(source, relax.Var):
        return "its weight is computed at run time"
    if str(weight.ty.dtype) != "float32":
        return f"its weight is {weight.ty.dtype}, not float32"
    array = weight.value.numpy()
    if not array.size:
        return "it has no weights"
    if operator == "matmul":
        return SparseLayer(name, source.name, operator, 1, array)
    wanted = "IO" if operator.endswith("_transpose") else "OI"
    layouts = str(call.attrs.data_layout), str(call.attrs.kernel_layout)
    if not layouts[0].startswith("NC") or not layouts[1].startswith(wanted):
        return f"its layouts are {layouts[0]} and {layouts[1]}, not NC... and {wanted}..."
    return SparseLayer(name, source.name, operator, int(call.attrs.groups), array)
