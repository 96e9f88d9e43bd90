"""The ways of `conv2d`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from tvm import relax

from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation, Implementations
from edgecompile.passes.layouts.known_weights import is_known
from edgecompile.passes.layouts.tensor_shapes import static_shape
from edgecompile.passes.layouts.way import PLAIN, Layout, Way, explain, explain_price, plain_way

if TYPE_CHECKING:
    from edgecompile.passes.layouts.workshop import Workshop

_FEW_CHANNELS = 4  # so many planes of a plain image can be read side by side


def convolution_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """The templates on blocked x, on plain x of few channels, and loops without a template."""
    problem = read_convolution(call)
    if isinstance(problem, str):
        return [plain_way(call, reason=problem)]
    block = implementations.block(problem.in_channels)
    offers = {block: implementations.convolutions(problem, block)}
    if problem.in_channels <= _FEW_CHANNELS:
        offers[PLAIN] = implementations.convolutions(problem, None)
    templates = [(layout, offer) for layout, offered in offers.items() for offer in offered]
    cycles = implementations.plain_cycles(problem.macs)
    if not templates:
        return [plain_way(call, cycles, "no template takes it")]
    writes = implementations.block(problem.out_channels)
    ways = [
        Way(
            reads={call.args[0]: layout},
            writes=writes,
            cycles=offer.cycles,
            build=partial(_build, call, layout, offer),
            reason=explain(offer, offers[layout]),
        )
        for layout, offer in templates
    ]
    plain = explain_price("loops without a template", cycles, [offer for _, offer in templates])
    return [*ways, plain_way(call, cycles, plain)]


def _build(call: relax.Call, layout: Layout, offer: Implementation, workshop: Workshop) -> relax.Call:
    x, weight = call.args
    constants = workshop.packed(weight, offer)
    return workshop.template(offer.name.split()[0], offer.compute, [workshop.read(x, layout), *constants])


def read_convolution(call: relax.Call) -> Convolution | str:
    """The numbers of a convolution with a known weight, or why it has none."""
    attributes = call.attrs
    if attributes.data_layout != "NCHW" or attributes.kernel_layout != "OIHW":
        return f"its layouts are {attributes.data_layout} and {attributes.kernel_layout}"
    x, weight = call.args
    if not is_known(weight):
        return "its weight is computed at run time"
    shape = static_shape(x)
    if shape is None or str(x.ty.dtype) != "float32" or str(call.ty.dtype) != "float32":
        return "it is not float32 of static shape"
    if not isinstance(x, relax.Var):
        return "its input is a constant"
    kernel = [int(extent) for extent in weight.ty.shape.values]
    top, left, bottom, right = (int(pixels) for pixels in attributes.padding)
    return Convolution(
        batch=shape[0],
        in_channels=shape[1],
        out_channels=kernel[0],
        height=shape[2],
        width=shape[3],
        kernel=(kernel[2], kernel[3]),
        strides=tuple(int(n) for n in attributes.strides),  # type: ignore[arg-type]
        padding=(top, left, bottom, right),
        dilations=tuple(int(n) for n in attributes.dilation),  # type: ignore[arg-type]
        groups=int(attributes.groups),
    )
