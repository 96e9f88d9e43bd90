"""Reductions."""

from __future__ import annotations

from edgecompile.compress.prune.channels.rule import rule
from edgecompile.compress.prune.channels.site import Site


@rule("mean", "sum", "max", "min", "prod", "std", "variance", "argmax", "argmin")
def link_reduction(site: Site) -> None:
    """What is reduced has to stay: a mean counts its numbers, and zero may be the largest of them."""
    x, y, linker = site.argument(0), site.output, site.linker
    found = site.call.attrs.axis
    axes = range(x.rank) if found is None else [found] if isinstance(found, int) else found
    reduced = {int(axis) % x.rank for axis in axes}
    linker.pin_axes(x, f"{site.operator} {site.name!r} runs over it", sorted(reduced))
    rest = [axis for axis in range(x.rank) if axis not in reduced]
    places = rest if site.call.attrs.keepdims else range(len(rest))
    linker.link_axes(x, y, list(zip(rest, places, strict=True)))
