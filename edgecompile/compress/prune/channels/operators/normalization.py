"""Normalizations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tvm import relax

from edgecompile.compress.prune.channels.kept import Kept
from edgecompile.compress.prune.channels.operators.elementwise import link_unary
from edgecompile.compress.prune.channels.rule import rule
from edgecompile.compress.prune.channels.site import Site


@rule("nn.batch_norm")
def link_batch_norm(site: Site) -> None:
    """y[c] = (x[c] - mean[c]) / sqrt(variance[c] + epsilon) * scale[c] + bias[c]; results: y, mean, variance."""
    x, linker = site.argument(0), site.linker
    axis = int(site.call.attrs.axis)
    linker.link_axes(x, site.output, [(place, place) for place in range(x.rank)])
    for index, operand in enumerate(("scale", "bias", "mean", "variance"), start=1):
        linker.link(site.argument(index).elements(0), x.elements(axis))
        site.note(index, 0, operand, "each")
    for tensor in site.outputs[1:]:
        linker.link(tensor.elements(0), x.elements(axis))


@rule("nn.instance_norm")
def link_instance_norm(site: Site) -> None:
    """Each channel has the statistics of its own pixels."""
    axis = int(site.call.attrs.channel_axis)
    link_unary(site)
    for index, operand in ((1, "scale"), (2, "bias")):
        site.linker.link(site.argument(index).elements(0), site.output.elements(axis))
        site.note(index, 0, operand, "each")
    site.linker.pin_axes(site.output, f"{site.name!r} normalizes over it", [int(i) for i in site.call.attrs.axes])


@rule("nn.layer_norm", "nn.rms_norm")
def link_layer_norm(site: Site) -> None:
    """The statistics are those of whole rows, which fewer numbers would change."""
    link_unary(site)
    axes = [int(axis) for axis in site.call.attrs.axes]
    for index in range(1, len(site.call.args)):
        for tensor in site.tensors_of(index):
            site.linker.link_axes(tensor, site.output, list(enumerate(axes)))
    site.linker.pin_axes(site.output, f"{site.name!r} normalizes over it", axes)


def with_fewer_groups(site: Site, arguments: Sequence[relax.Expr], kept: Kept) -> relax.Expr:
    """The same normalization, of groups as large as before."""
    attributes, x = site.call.attrs, site.argument(0)
    axis = int(attributes.channel_axis) % x.rank
    groups = int(attributes.num_groups) * kept.extent(x, axis) // max(x.shape[axis] or 0, 1)
    axes = [int(i) for i in attributes.axes]
    epsilon, center, scale = float(attributes.epsilon), bool(attributes.center), bool(attributes.scale)
    return relax.op.nn.group_norm(*arguments, groups, axis, axes, epsilon, center, scale)


@rule("nn.group_norm", rewrite=with_fewer_groups)
def link_group_norm(site: Site) -> None:
    """The channels of a group have their statistics together, and go together."""
    link_unary(site)
    axis, groups = int(site.call.attrs.channel_axis), int(site.call.attrs.num_groups)
    channels, linker = site.output.elements(axis), site.linker
    for index, operand in ((1, "scale"), (2, "bias")):
        linker.link(site.argument(index).elements(0), channels)
        site.note(index, 0, operand, "each")
    each = len(channels) // groups
    if each > 1:
        linker.link(channels, np.repeat(channels[::each], each), f"normalizes {each} channels at once")
    axes = [int(i) for i in site.call.attrs.axes]
    linker.pin_axes(site.output, f"{site.name!r} normalizes over it", axes)


@rule("nn.softmax", "nn.log_softmax", "cumsum", "cumprod")
def link_softmax(site: Site) -> None:
    """Rows of an axis depend on all of its numbers, the zeros too."""
    link_unary(site)
    axis = site.call.attrs.axis
    axes = range(site.output.rank) if axis is None else [int(axis)]
    site.linker.pin_axes(site.output, f"{site.operator.removeprefix('nn.')} {site.name!r} runs along it", axes)
