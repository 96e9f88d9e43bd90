"""The ways of integer operators: templates for products, and everything between them on blocked tensors.

Only exact integer arithmetic: every way of an operator answers the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import tvm
from tvm import relax

from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation, Implementations
from edgecompile.integer import operators
from edgecompile.integer.formulas import channel_of_blocks, ordered
from edgecompile.passes.layouts.blocked_tensors import padded_blocks
from edgecompile.passes.layouts.tensor_shapes import block_of, blockable_shape, static_shape
from edgecompile.passes.layouts.way import PLAIN, Layout, Way, explain, explain_price, plain_way

if TYPE_CHECKING:
    from edgecompile.passes.layouts.workshop import Workshop

_DOT = 4  # channels that one instruction multiplies: of fewer, a plain image is padded to them on its way into blocks
_PLAIN_SHARE = 1.0  # of the price of float loops
_BLOCKED_SHARE = 0.25  # of sums of weighted pixels


def integer_convolution_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """The templates on blocks of int8, and loops without a template."""
    problem, zero_point = read_integer_convolution(call), operators.attributes(call)["zero_point"]
    cycles = _PLAIN_SHARE * implementations.plain_cycles(problem.macs)
    x, weight = call.args[:2]
    if str(weight.ty.dtype) != "int8" or not isinstance(x, relax.Var):
        return [plain_way(call, cycles, "its weight has a zero point of its own")]
    block = implementations.integer_block(problem.in_channels)
    layout: Layout = PLAIN if problem.in_channels % _DOT and problem.groups == 1 else block
    in_block = block if layout else math.ceil(problem.in_channels / _DOT) * _DOT
    offers = implementations.integer_convolutions(problem, zero_point, in_block, _lowest(weight), _largest_sum(weight))
    if not offers:
        return [plain_way(call, cycles, "no template takes it")]
    writes = implementations.integer_block(problem.out_channels)
    ways = [
        Way(
            {x: layout},
            writes,
            offer.cycles,
            partial(_convolution, call, layout, in_block, offer),
            explain(offer, offers),
        )
        for offer in offers
    ]
    return [*ways, plain_way(call, cycles, explain_price("loops without a template", cycles, offers))]


def integer_product_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """The templates for a known matrix, and loops without a template; all on plain tensors."""
    x, weight = call.args
    if isinstance(weight, relax.Var):
        return _batched_ways(call, implementations)
    shape = static_shape(x)
    numbers = operators.attributes(call)
    is_known = isinstance(weight, tvm.ir.GenericConst) and str(weight.ty.dtype) == "int8"
    if shape is None or not is_known or len(weight.value.shape) != 2 or not isinstance(x, relax.Var):
        return [plain_way(call, reason="its right side is no known matrix of int8")]
    rows = math.prod(shape[:-1])
    problem = Convolution(1, shape[-1], int(weight.value.shape[1]), 1, rows)
    cycles = _PLAIN_SHARE * implementations.plain_cycles(problem.macs)
    offers = implementations.integer_products(shape[:-1], problem, numbers["zero_point"], _lowest(weight))
    if not offers or numbers["other_zero_point"]:
        return [plain_way(call, cycles, "no template takes it")]
    ways = [
        Way({x: PLAIN}, PLAIN, offer.cycles, partial(_product, call, offer), explain(offer, offers)) for offer in offers
    ]
    return [*ways, plain_way(call, cycles, explain_price("loops without a template", cycles, offers))]


def _batched_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """The templates for a batch of products of two tensors, and loops without a template; all on plain tensors."""
    numbers = operators.attributes(call)
    axes = numbers["axes"], numbers["other_axes"]
    shapes = [ordered(static_shape(x) or (), order) for x, order in zip(call.args, axes, strict=True)]
    first, second = shapes
    if len(first) < 3 or first[:-2] != second[:-2] or min([*first, *second]) == 0:
        return [plain_way(call, reason="its operands are no batches of matrices")]
    (*batch, rows, inner), columns = first, second[-1]
    zero_points = numbers["zero_point"], numbers["other_zero_point"]
    cycles = _PLAIN_SHARE * implementations.plain_cycles(math.prod(batch) * rows * inner * columns)
    offers = implementations.integer_batched_products(rows, inner, columns, zero_points, axes)
    if not offers or not all(isinstance(x, relax.Var) for x in call.args):
        return [plain_way(call, cycles, "no template takes it")]
    reads = dict.fromkeys(call.args, PLAIN)
    ways = [
        Way(reads, PLAIN, math.prod(batch) * offer.cycles, partial(_batched, call, offer), explain(offer, offers))
        for offer in offers
    ]
    return [*ways, plain_way(call, cycles, explain_price("loops without a template", cycles, offers))]


def integer_elementwise_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """requantize, add, multiply and lookup: on blocks where all tensors have the same, or plain."""
    plain, block = plain_way(call, joins=True), block_of(call.ty, implementations)
    tensors = [argument for argument in call.args if isinstance(argument, relax.Var)]
    if call.op.name in (operators.ADD, operators.MULTIPLY) and len(tensors) < len(call.args):
        return [plain]  # a constant tensor
    axis = operators.attributes(call).get("axis", 1)
    per_channel = any(isinstance(argument, tvm.ir.GenericConst) and len(argument.value.shape) for argument in call.args)
    is_channel = call.op.name != operators.REQUANTIZE or axis == 1 or not per_channel
    if block is None or not is_channel or any(block_of(tensor.ty, implementations) != block for tensor in tensors):
        return [plain]
    return [Way(dict.fromkeys(tensors, block), block, 0.0, partial(_elementwise, call, block), joins=True), plain]


def quantize_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """quantize and dequantize with one scale: on blocks where both sides have the same."""
    plain, block = plain_way(call, joins=True), block_of(call.ty, implementations)
    x, *parameters = call.args
    scalar = all(isinstance(p, tvm.ir.GenericConst) and p.value.numpy().size == 1 for p in parameters)
    if block is None or not scalar or not isinstance(x, relax.Var) or block_of(x.ty, implementations) != block:
        return [plain]
    return [Way({x: block}, block, 0.0, partial(_on_blocks, call, block), joins=True), plain]


def resample_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """Sums of weighted pixels: on blocks vectors of channels share their places and weights."""
    x, shape = call.args[0], blockable_shape(call)
    block = block_of(x.ty, implementations)
    if shape is None or block is None or block != block_of(call.ty, implementations) or not isinstance(x, relax.Var):
        return [plain_way(call)]
    taps = math.prod(int(table.value.shape[1]) for table in (call.args[1], call.args[3]))
    cycles = implementations.plain_cycles(math.prod(shape) * taps)
    return [
        Way({x: block}, block, _BLOCKED_SHARE * cycles, partial(_resample, call, block)),
        plain_way(call, _PLAIN_SHARE * cycles),
    ]


def sum_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """An integer sum over height and width; where they do not stay as dimensions of one, the result is plain."""
    x, block = call.args[0], block_of(call.args[0].ty, implementations)
    shape = blockable_shape(x)
    axes = {int(axis) % 4 for axis in call.attrs.axis} if shape is not None and call.attrs.axis else set()
    if block is None or shape is None or axes != {2, 3} or not isinstance(x, relax.Var):
        return [plain_way(call)]
    writes = block if call.attrs.keepdims else PLAIN
    cycles = implementations.plain_cycles(math.prod(shape))
    return [Way({x: block}, writes, cycles / 2, partial(_sum, call, block)), plain_way(call, cycles)]


def read_integer_convolution(call: relax.Call) -> Convolution:
    """The numbers of a call of `edgecompile.conv2d`."""
    numbers = operators.attributes(call)
    images, channels, height, width = (int(extent) for extent in call.args[0].ty.shape.values)
    out_channels, _, *kernel = (int(extent) for extent in call.args[1].ty.shape.values)
    return Convolution(
        batch=images,
        in_channels=channels,
        out_channels=out_channels,
        height=height,
        width=width,
        kernel=(kernel[0], kernel[1]),
        strides=numbers["strides"],
        padding=numbers["padding"],
        dilations=numbers["dilation"],
        groups=numbers["groups"],
    )


def _lowest(weight: tvm.ir.GenericConst) -> int:
    """The negative of the weight that lies the farthest from zero."""
    return -int(np.abs(weight.value.numpy().astype(np.int32)).max(initial=0))


def _largest_sum(weight: tvm.ir.GenericConst) -> int:
    """Of the magnitudes of an output channel's weights."""
    magnitudes = np.abs(weight.value.numpy().astype(np.int64))
    return int(magnitudes.reshape(len(magnitudes), -1).sum(axis=1).max(initial=0))


def _convolution(
    call: relax.Call, layout: Layout, in_block: int, offer: Implementation, workshop: Workshop
) -> relax.Expr:
    x, weight, bias = call.args
    packed, others = workshop.packed_integers(weight.value.numpy(), bias.value.numpy(), offer)
    blocked = workshop.read(x, layout)
    if layout == PLAIN:
        blocked = workshop.emit(
            workshop.movement("to_padded_blocks", partial(padded_blocks, block=in_block), [blocked]), f"{x.name}_padded"
        )
    return workshop.template(offer.name.split()[0], offer.compute, [blocked, packed, *others])


def _product(call: relax.Call, offer: Implementation, workshop: Workshop) -> relax.Expr:
    weight = np.ascontiguousarray(call.args[1].value.numpy().T[:, :, None, None])
    packed, *others = offer.pack(weight)
    first = workshop.moved_integers(weight, packed)
    constants = [relax.const(array, str(array.dtype)) for array in others]
    x = workshop.read(call.args[0], PLAIN)
    return workshop.template(offer.name.split()[0], offer.compute, [x, first, *constants])


def _batched(call: relax.Call, offer: Implementation, workshop: Workshop) -> relax.Expr:
    operands = [workshop.read(argument, PLAIN) for argument in call.args]
    return workshop.template(offer.name.split()[0], offer.compute, operands)


def _elementwise(call: relax.Call, block: int, workshop: Workshop) -> relax.Expr:
    arguments = [workshop.read(a, block) if isinstance(a, relax.Var) else a for a in call.args]
    formula = operators.formula(call, channel_of_blocks(block))
    name = call.op.name.replace("edgecompile.", "integer_")
    if operators.is_elementwise(call):
        return workshop.elementwise(name, formula, arguments)
    return workshop.broadcast(name, formula, arguments)


def _resample(call: relax.Call, block: int, workshop: Workshop) -> relax.Expr:
    arguments = [workshop.read(call.args[0], block), *call.args[1:]]
    return workshop.template("resample", operators.formula(call), arguments)


def _on_blocks(call: relax.Call, block: int, workshop: Workshop) -> relax.Expr:
    return relax.Call(call.op, [workshop.read(call.args[0], block), *call.args[1:]], call.attrs)


def _sum(call: relax.Call, block: int, workshop: Workshop) -> relax.Expr:
    total = relax.op.sum(workshop.read(call.args[0], block), [2, 3], keepdims=True)
    return total if call.attrs.keepdims else relax.op.reshape(workshop.emit(total, "total"), call.ty.shape)
