"""Pooling and resizing: each channel for itself."""

from __future__ import annotations

from edgecompile.compress.prune.channels.rule import rule
from edgecompile.compress.prune.channels.site import Site

_POOLING = tuple(
    f"nn.{kind}_pool{rank}d" for kind in ("max", "avg", "adaptive_avg", "adaptive_max") for rank in (1, 2, 3)
)


@rule(*_POOLING, "image.resize2d", "image.resize3d")
def link_pooling(site: Site) -> None:
    """y[n, c] = f(x[n, c])."""
    layout = str(site.call.attrs.layout)
    if not layout.startswith("NC"):
        site.refuse(f"{site.name!r} has the layout {layout}")
        return
    x, y = site.argument(0), site.output
    site.linker.link_axes(x, y, [(0, 0), (1, 1)])
    for tensor in (x, y):
        site.linker.pin_axes(tensor, "it is a pixel", range(2, tensor.rank))
