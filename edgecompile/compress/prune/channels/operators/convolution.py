"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tvm import relax

from edgecompile.compress.prune.channels.kept import Kept
from edgecompile.compress.prune.channels.rule import rule
from edgecompile.compress.prune.channels.site import Site
from edgecompile.compress.prune.channels.tensor import Elements

_DATA_LAYOUTS = ("NCW", "NCHW", "NCDHW")


def with_groups(site: Site, arguments: Sequence[relax.Expr], kept: Kept) -> relax.Expr:
    """The same convolution; a depthwise one has as many groups as channels."""
    attributes = site.call.attrs
    names = ("strides", "padding", "dilation", "data_layout", "kernel_layout", "out_layout", "out_dtype")
    options = {name: getattr(attributes, name) for name in names}
    if site.operator.endswith("_transpose"):
        options["output_padding"] = attributes.output_padding
    groups = kept.extent(site.argument(0), 1) if _is_depthwise(site) else int(attributes.groups)
    return getattr(relax.op.nn, site.operator.removeprefix("nn."))(*arguments, **options, groups=groups)


@rule("nn.conv1d", "nn.conv2d", "nn.conv3d", rewrite=with_groups)
def link_convolution(site: Site) -> None:
    """y[n, o] = sum over i in the group of o of conv(x[n, i], w[o, i]): x [N, C, ...], w [O, C / groups, ...]."""
    _link(site, weight_output=0, weight_input=1)


@rule("nn.conv1d_transpose", "nn.conv2d_transpose", "nn.conv3d_transpose", rewrite=with_groups)
def link_transposed_convolution(site: Site) -> None:
    """The same with w [C, O / groups, ...]."""
    _link(site, weight_output=1, weight_input=0)


def _link(site: Site, weight_output: int, weight_input: int) -> None:
    x, weight, y, linker = site.argument(0), site.argument(1), site.output, site.linker
    attributes = site.call.attrs
    layouts = (str(attributes.data_layout), str(attributes.kernel_layout), str(attributes.out_layout))
    if layouts[0] not in _DATA_LAYOUTS or layouts[2] not in ("", layouts[0]) or layouts[1][2:] != layouts[0][2:]:
        site.refuse(f"the convolution {site.name!r} has the layouts {', '.join(layouts)}")
        return
    for tensor in (x, weight, y):
        linker.pin_axes(tensor, "it is a pixel or a tap of a kernel", range(2, tensor.rank))
    linker.link(x.elements(0), y.elements(0))
    channels, outputs, groups = x.elements(1), y.elements(1), int(attributes.groups)
    rows, columns = weight.elements(weight_output), weight.elements(weight_input)
    if groups == 1:
        linker.link(rows, outputs)
        linker.link(columns, channels)
    elif _is_depthwise(site):
        linker.link(np.repeat(channels, len(outputs) // groups), outputs, "is depthwise")
        if weight_output == 0:
            linker.link(rows, outputs)
        else:
            linker.link(columns, channels)
            linker.pin(rows, "it is the only output of its group")
    else:
        _link_groups(site, groups, channels, outputs, rows, columns, weight_output)
    site.note(1, weight_output, "weight", "output" if groups == 1 or not _is_depthwise(site) else "each")
    if groups == 1 or not _is_depthwise(site):
        site.note(1, weight_input, "weight", "input")


def _link_groups(
    site: Site,
    groups: int,
    channels: Elements,
    outputs: Elements,
    rows: Elements,
    columns: Elements,
    weight_output: int,
) -> None:
    """All groups lose the same places, so that they stay equally large."""
    linker, reason = site.linker, f"has {groups} groups"
    if not len(channels) or not len(outputs):
        linker.link(channels, outputs[:0])
        linker.link(outputs, channels[:0])
        return
    inputs_of, outputs_of = channels.reshape(groups, -1), outputs.reshape(groups, -1)
    # One of the weight's axes runs over the channels of all groups, the other over those of one.
    wide, narrow = (rows, columns) if weight_output == 0 else (columns, rows)
    wide_of, narrow_of = (outputs_of, inputs_of) if weight_output == 0 else (inputs_of, outputs_of)
    linker.link(wide, wide_of.ravel())
    for group in range(groups):
        linker.link(narrow, narrow_of[group], reason)
        linker.link(wide_of[0], wide_of[group], reason)


def _is_depthwise(site: Site) -> bool:
    """True where each channel is a group of its own, of one output if the convolution is transposed."""
    groups = int(site.call.attrs.groups)
    x, weight = site.argument(0), site.argument(1)
    return groups > 1 and x.shape[1] == groups and weight.shape[1] == 1
