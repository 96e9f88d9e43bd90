"""`Product`: a convolution or matrix product with a constant weight, as sums of rows times columns."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import tvm
from tvm import relax


@dataclass(frozen=True)
class Product:
    """A product seen as `rows @ matrix^T` for each of its groups.

    Attributes:
        name: of its variable.
        source: the name of the tensor that it reads.
        call: of conv2d or matmul.
        weight: float32 `[K, C / groups, KH, KW]`, or `[C, K]` of a matmul.
    """

    name: str
    source: str
    call: relax.Call
    weight: np.ndarray

    @property
    def operator(self) -> str:
        """Of Relax, without its prefix."""
        return str(self.call.op.name).removeprefix("relax.")

    @property
    def is_convolution(self) -> bool:
        """Else it is a matrix product."""
        return self.operator == "nn.conv2d"

    @property
    def result_axis(self) -> int:
        """Of the output channels in the result."""
        return 1 if self.is_convolution else len(self.call.ty.shape.values) - 1

    @property
    def groups(self) -> int:
        """1 for a matrix product."""
        return int(self.call.attrs.groups) if self.is_convolution else 1

    def matrix(self, array: np.ndarray) -> np.ndarray:
        """An array of the weight's shape as `[groups, channels, terms]`.

        One of numbers for blocks of the weight becomes one of numbers for blocks of that matrix: in a convolution as in
        a product, terms that share a scale are consecutive.
        """
        if not self.is_convolution:
            return array.T[None]
        groups = self.groups if len(array) == len(self.weight) else 1
        return array.reshape(groups, len(array) // groups, -1)

    def from_matrix(self, matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The inverse of `matrix` for an array of this shape."""
        return matrix.reshape(shape) if self.is_convolution else np.ascontiguousarray(matrix[0].T)

    def rows(self, x: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
        """float32 `[groups, rows, terms]`: what the sums of some results are taken of, drawn without replacement.

        Args:
            x: the tensor that it reads.
            most: how many rows; all where there are fewer.
        """
        if not self.is_convolution:
            flat = x.reshape(-1, x.shape[-1])
            return flat[_drawn(len(flat), most, random)][None]
        attributes = self.call.attrs
        top, left, bottom, right = (int(pixels) for pixels in attributes.padding)
        strides, dilation = ([int(n) for n in numbers] for numbers in (attributes.strides, attributes.dilation))
        padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        extents = [(taps - 1) * step + 1 for taps, step in zip(self.weight.shape[2:], dilation, strict=True)]
        windows = np.lib.stride_tricks.sliding_window_view(padded, extents, axis=(2, 3))
        windows = windows[:, :, :: strides[0], :: strides[1], :: dilation[0], :: dilation[1]]
        images, channels, height, width = windows.shape[:4]
        places = np.unravel_index(_drawn(images * height * width, most, random), (images, height, width))
        drawn = windows[places[0], :, places[1], places[2]]
        grouped = drawn.reshape(len(drawn), self.groups, channels // self.groups * self.weight[0, 0].size)
        return np.ascontiguousarray(grouped.transpose(1, 0, 2))


def products_of(main: relax.Function, names: Collection[str]) -> list[Product]:
    """Those with these names that have a constant float32 weight of a known layout, in order."""
    found = []
    for binding in main.body.blocks[0].bindings:
        call = binding.value
        if binding.var.name in names and isinstance(call, relax.Call) and _is_product(call):
            found.append(Product(binding.var.name, call.args[0].name, call, call.args[1].value.numpy()))
    return found


def _is_product(call: relax.Call) -> bool:
    name = getattr(call.op, "name", "")
    if name not in ("relax.nn.conv2d", "relax.matmul"):
        return False
    x, weight = call.args
    if not isinstance(x, relax.Var) or not isinstance(weight, tvm.ir.GenericConst):
        return False
    array = weight.value.numpy()
    if array.dtype != np.float32:
        return False
    if name == "relax.matmul":
        return array.ndim == 2
    return (str(call.attrs.data_layout), str(call.attrs.kernel_layout)) == ("NCHW", "OIHW")


def _drawn(count: int, most: int, random: np.random.Generator) -> np.ndarray:
    return np.arange(count) if count <= most else np.sort(random.choice(count, most, replace=False))
