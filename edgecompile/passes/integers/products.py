"""conv2d and matmul of quantized operands: integer sums, requantized or as float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tvm
from tvm import relax

from edgecompile.integer import operators
from edgecompile.layers import products_name, sums_name
from edgecompile.passes.integers.graph import Graph
from edgecompile.passes.integers.output import Output
from edgecompile.passes.integers.quantized import Quantized
from edgecompile.passes.integers.steps_of_bias import fit_steps_of_bias


@dataclass(frozen=True)
class Product:
    """Integer sums that stand for `scale * sum`.

    Attributes:
        sums: a call that answers int32.
        scale: float64 `[]`, or one for each output channel.
        axis: of the output channels.
        layer: the name of the real product, by which its kernel is told from others.
        most: the largest magnitude that a sum can have; None where it is not known.
    """

    sums: relax.Call
    scale: np.ndarray
    axis: int
    layer: str
    most: int | None


def requantized_product(output: Output, graph: Graph) -> relax.Expr | None:
    """`quantize(product + bias)` -> integer sums with the bias, requantized; None where the group is another."""
    if not graph.is_used_once(output.data):
        return None
    product = _biased_product(output.data, graph)
    if product is None:
        return None
    sums = graph.emit(product.sums, sums_name(product.layer))
    return output.requantized(sums, product.scale, axis=product.axis, most=product.most)


def float_product(value: relax.Var, graph: Graph) -> relax.Expr | None:
    """A product of quantized operands whose result stays float: integer sums with the bias, times their scale.

    One multiplication and no addition: code generators may not contract it into another result.
    """
    product = _biased_product(value, graph)
    if product is None:
        return None
    real = graph.emit(
        relax.op.astype(graph.emit(product.sums, sums_name(product.layer)), "float32"), f"{product.layer}_real"
    )
    rank = len(value.ty.shape.values)
    shape = [-1 if position == product.axis else 1 for position in range(rank)] if product.scale.ndim else []
    return relax.op.multiply(real, relax.const(product.scale.astype(np.float32).reshape(shape), "float32"))


class Found(NamedTuple):
    """A real product in the old `main`.

    Attributes:
        call: of conv2d or matmul.
        bias: the constant that is added to it, None where there is none.
        layer: its name.
    """

    call: relax.Call
    bias: np.ndarray | None
    layer: str


def find_product(value: relax.Expr, graph: Graph) -> Found | None:
    """The product that a variable is, or that it is the sum of with a constant where nothing else reads the product."""
    call = graph.call(value, "add")
    for data, other in (call.args, reversed(call.args)) if call is not None else ():
        if isinstance(other, tvm.ir.GenericConst) and graph.is_used_once(data):
            return _found(data, other.value.numpy(), graph)
    return _found(value, None, graph)


def integer_product(found: Found, a: Quantized, b: Quantized, graph: Graph) -> Product | None:
    """The product of these tensors in integers; None where it is not built for them."""
    if found.call.op.name == "relax.nn.conv2d":
        return _convolution(found.call, a, b, found.bias, found.layer)
    return _matmul(found.call, a, b, found.bias, found.layer, graph)


def _found(value: relax.Expr, bias: np.ndarray | None, graph: Graph) -> Found | None:
    call = graph.call(value, "nn.conv2d", "matmul")
    return None if call is None else Found(call, bias, value.name)


def _biased_product(value: relax.Expr, graph: Graph) -> Product | None:
    found = find_product(value, graph)
    if found is None:
        return None
    if found.call.op.name == "relax.matmul" and len(found.call.args[1].ty.shape.values) > 2:
        return _batched(found.call, found.bias, found.layer, graph)
    a, b = (graph.quantized(argument) for argument in found.call.args)
    if a is None or b is None or not a.is_per_tensor:
        return None
    return integer_product(found, a, b, graph)


def _convolution(
    call: relax.Call, x: Quantized, weight: Quantized, bias: np.ndarray | None, layer: str
) -> Product | None:
    attributes = call.attrs
    layouts = (str(attributes.data_layout), str(attributes.kernel_layout))
    if layouts != ("NCHW", "OIHW") or not isinstance(weight.value, tvm.ir.GenericConst):
        return None
    if weight.scale.ndim and weight.axis != 0:
        return None
    channels = int(weight.value.value.shape[0])
    weight = fit_steps_of_bias(weight, 0, float(x.scale), bias)
    scale = x.scale * weight.scale
    added = _integer_bias(bias, scale, (1, channels, 1, 1))
    if added is None:
        return None
    sums = operators.conv2d(
        x.value,
        weight.value,
        relax.const(np.broadcast_to(added.reshape(-1), (channels,)), "int32"),
        strides=[int(step) for step in attributes.strides],
        padding=[int(pixels) for pixels in attributes.padding],
        dilation=[int(step) for step in attributes.dilation],
        groups=int(attributes.groups),
        zero_point=x.zero_point,
    )
    return Product(sums, scale, 1, layer, _largest_sum(x.zero_point, weight.value, 0, added))


def _matmul(
    call: relax.Call, a: Quantized, b: Quantized, bias: np.ndarray | None, layer: str, graph: Graph
) -> Product | None:
    ranks = [len(argument.ty.shape.values) for argument in call.args]
    if min(ranks) < 2 or ranks[1] != 2 or (b.scale.ndim and b.axis != 1):
        return None
    if isinstance(b.value, tvm.ir.GenericConst):
        b = fit_steps_of_bias(b, 1, float(a.scale), bias)
    scale = a.scale * b.scale
    columns = int(call.args[1].ty.shape.values[-1])
    added = np.zeros(1, np.int32)
    sums = operators.matmul(a.value, b.value, zero_point=a.zero_point, other_zero_point=b.zero_point)
    if bias is not None:
        found = _integer_bias(bias, scale, (columns,))
        if found is None:
            return None
        added = found
        sums = relax.op.add(graph.emit(sums, products_name(layer)), relax.const(added.reshape(-1), "int32"))
    is_known = isinstance(b.value, tvm.ir.GenericConst) and not b.zero_point
    most = _largest_sum(a.zero_point, b.value, 1, added) if is_known else None
    return Product(sums, scale, ranks[0] - 1, layer, most)


def _batched(call: relax.Call, bias: np.ndarray | None, layer: str, graph: Graph) -> Product | None:
    """The product of two activations, of the same batch; permutations of them are left to its kernel."""
    batches = [[int(n) for n in argument.ty.shape.values[:-2]] for argument in call.args]
    if batches[0] != batches[1] or bias is not None:
        return None
    (first, axes), (second, other_axes) = (_unpermuted(argument, graph) for argument in call.args)
    last = len(batches[0]) + 1
    if axes and axes[-1] != last:  # rows must lie as they are
        first, axes = call.args[0], ()
    a, b = graph.quantized(first), graph.quantized(second)
    if a is None or b is None or not (a.is_per_tensor and b.is_per_tensor):
        return None
    sums = operators.matmul(
        a.value,
        b.value,
        zero_point=a.zero_point,
        other_zero_point=b.zero_point,
        axes=axes,
        other_axes=other_axes,
    )
    most = int(first.ty.shape.values[axes[-1] if axes else last]) * _farthest(a.zero_point) * _farthest(b.zero_point)
    return Product(sums, a.scale * b.scale, last, layer, most)


def _unpermuted(value: relax.Expr, graph: Graph) -> tuple[relax.Expr, tuple[int, ...]]:
    """What a tensor is permutations of, and the order in which they take its dimensions; () where there are none."""
    axes = tuple(range(len(value.ty.shape.values)))
    while (call := graph.call(graph.before_conversions(value), "permute_dims")) is not None:
        order = (
            [int(axis) for axis in call.attrs.axes] if call.attrs.axes is not None else [*reversed(range(len(axes)))]
        )
        axes = tuple(order[axis] for axis in axes)
        value = call.args[0]
    return value, () if axes == tuple(range(len(axes))) else axes


def _largest_sum(zero_point: int, weight: tvm.ir.GenericConst, axis: int, bias: np.ndarray) -> int:
    """What `sum((x - zero_point) * w) + bias` is at most, for any int8 x; `axis` is that of the weight's channels."""
    magnitudes = np.abs(weight.value.numpy().astype(np.int64))
    others = tuple(position for position in range(magnitudes.ndim) if position != axis)
    sums = _farthest(zero_point) * magnitudes.sum(axis=others) + np.abs(bias.astype(np.int64).reshape(-1))
    return int(sums.max(initial=0))


def _farthest(zero_point: int) -> int:
    """How far an int8 value can be from its zero point."""
    return max(127 - zero_point, zero_point + 128)


def _integer_bias(bias: np.ndarray | None, scale: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """int32 of the same channels, rounded to nearest; None where it is no vector of them or leaves 31 bits."""
    if bias is None:
        return np.zeros(1, np.int32)
    if bias.size > 1 and bias.shape[-len(shape) :] != shape and bias.shape != tuple(n for n in shape if n > 1):
        return None
    if bias.size not in (1, max(shape)):
        return None
    steps = np.rint(bias.astype(np.float64).reshape(-1) / scale)
    return steps.astype(np.int32) if np.all(np.abs(steps) < 2**30) else None
