"""Attention as one operator."""

from __future__ import annotations

from edgecompile.compress.prune.channels.rule import rule
from edgecompile.compress.prune.channels.site import Site


@rule("nn.attention", "nn.attention_bias")
def link_attention(site: Site) -> None:
    """y[b, s, h] = softmax(q[b, s, h] k[b, :, h]^T * scale) v[b, :, h]: heads go as a whole."""
    q, k, v, y, linker = site.argument(0), site.argument(1), site.argument(2), site.output, site.linker
    if k.shape[2] != q.shape[2]:
        site.refuse(f"heads of {site.name!r} share keys")
        return
    for tensor in (q, k, v):
        linker.link_axes(tensor, y, [(0, 0), (2, 2)], "has heads")
    linker.link_axes(v, y, [(3, 3)])
    linker.link_axes(k, v, [(1, 1)])
    linker.link_axes(q, y, [(1, 1)])
    linker.pin_axes(k, f"softmax of {site.name!r} runs along it", [1])
    linker.link_axes(q, k, [(3, 3)])
    if site.call.attrs.scale is None:
        linker.pin_axes(q, f"the scale of {site.name!r} is made of its extent", [3])
    for index in range(3, len(site.call.args)):
        for tensor in site.tensors_of(index):
            if tensor.shape[1] != 1:
                linker.link(tensor.elements(1), y.elements(2))
            linker.pin_axes(tensor, f"it is the mask of {site.name!r}", (0, 2, 3))
