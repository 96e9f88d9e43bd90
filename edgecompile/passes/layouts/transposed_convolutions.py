"""The ways of `conv2d_transpose`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from tvm import relax

from edgecompile.implementation import Implementation, Implementations
from edgecompile.passes.layouts.known_weights import is_known
from edgecompile.passes.layouts.tensor_shapes import image_shape
from edgecompile.passes.layouts.way import Way, explain, explain_price, plain_way
from edgecompile.transposed_convolution import TransposedConvolution

if TYPE_CHECKING:
    from edgecompile.passes.layouts.workshop import Workshop


def transposed_convolution_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """The templates on blocked x, and loops without a template."""
    problem = read_transposed_convolution(call)
    if isinstance(problem, str):
        return [plain_way(call, reason=problem)]
    block, writes = implementations.block(problem.in_channels), implementations.block(problem.out_channels)
    offers = implementations.transposed_convolutions(problem, block)
    # Without a template, zeros between the pixels are multiplied too.
    cycles = implementations.plain_cycles(problem.macs * problem.strides[0] * problem.strides[1])
    if not offers:
        return [plain_way(call, cycles, "no template takes it")]
    ways = [
        Way({call.args[0]: block}, writes, offer.cycles, partial(_build, call, block, offer), explain(offer, offers))
        for offer in offers
    ]
    return [*ways, plain_way(call, cycles, explain_price("loops without a template", cycles, offers))]


def _build(call: relax.Call, block: int, offer: Implementation, workshop: Workshop) -> relax.Call:
    x, weight = call.args
    constants = workshop.packed(weight, offer)
    return workshop.template(offer.name.split()[0], offer.compute, [workshop.read(x, block), *constants])


def read_transposed_convolution(call: relax.Call) -> TransposedConvolution | str:
    """The numbers of a transposed convolution with a known weight, or why it has none."""
    attributes = call.attrs
    if attributes.data_layout != "NCHW" or attributes.kernel_layout != "IOHW":
        return f"its layouts are {attributes.data_layout} and {attributes.kernel_layout}"
    x, weight = call.args
    if int(attributes.groups) != 1:
        return "it has groups"
    if not is_known(weight):
        return "its weight is computed at run time"
    shape = image_shape(x)
    if shape is None or image_shape(call) is None:
        return "it is not float32 of static shape"
    if not isinstance(x, relax.Var):
        return "its input is a constant"
    kernel = [int(extent) for extent in weight.ty.shape.values]
    top, left, bottom, right = (int(pixels) for pixels in attributes.padding)
    return TransposedConvolution(
        batch=shape[0],
        in_channels=shape[1],
        out_channels=kernel[1],
        height=shape[2],
        width=shape[3],
        kernel=(kernel[2], kernel[3]),
        strides=tuple(int(n) for n in attributes.strides),  # type: ignore[arg-type]
        padding=(top, left, bottom, right),
        dilations=tuple(int(n) for n in attributes.dilation),  # type: ignore[arg-type]
        output_padding=tuple(int(n) for n in attributes.output_padding),  # type: ignore[arg-type]
    )
