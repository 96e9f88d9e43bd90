"""Operators that merge axes, or take them apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from tvm import relax

from edgecompile.compress.prune.channels.kept import Kept
from edgecompile.compress.prune.channels.rule import rule
from edgecompile.compress.prune.channels.site import Site
from edgecompile.compress.prune.channels.tensor import Tensor


def to_shape(site: Site, arguments: Sequence[relax.Expr], kept: Kept) -> relax.Expr:
    """The same with the shape that stays."""
    extents = site.output_extents()
    shape = [extent if stays is None else stays for extent, stays in zip(extents, kept.shape(site.output), strict=True)]
    return relax.Call(site.call.op, [arguments[0], relax.ShapeExpr(shape)], site.call.attrs, site.call.ty_args)


@rule("broadcast_to", rewrite=to_shape)
def link_broadcast_to(site: Site) -> None:
    """An axis of one element counts for all."""
    x, y = site.argument(0), site.output
    for axis in range(x.rank):
        place = y.rank - x.rank + axis
        if x.shape[axis] != 1 or y.shape[place] == 1:
            site.linker.link(x.elements(axis), y.elements(place))


@rule("squeeze", "expand_dims")
def link_squeeze(site: Site) -> None:
    """Axes of one element go, or come; they have to stay what they are."""
    x, y = site.argument(0), site.output
    rank = max(x.rank, y.rank)
    longer = y if site.operator == "expand_dims" else x
    axes = site.call.attrs.axis
    if axes is None:
        ones = {axis for axis, extent in enumerate(x.shape) if extent == 1}
    else:
        ones = {int(axis) % rank for axis in axes}
    rest = [axis for axis in range(rank) if axis not in ones]
    pairs = [(axis, place) if longer is x else (place, axis) for place, axis in enumerate(rest)]
    site.linker.link_axes(x, y, pairs)
    site.linker.pin_axes(longer, f"{site.name!r} makes one of it", sorted(ones))


@rule("reshape", rewrite=to_shape)
def link_reshape(site: Site) -> None:
    """The same numbers in row-major order, in other axes."""
    _link_runs(site)


@rule("flatten", "nn.batch_flatten")
def link_flatten(site: Site) -> None:
    """The same with all axes merged, or all but the first."""
    _link_runs(site)


@rule("nn.pixel_shuffle")
def link_pixel_shuffle(site: Site) -> None:
    """y[n, c, h r + i, w r + j] = x[n, c r^2 + i r + j, h, w]."""
    x, y, linker, squared = site.argument(0), site.output, site.linker, int(site.call.attrs.upscale_factor) ** 2
    linker.link_axes(x, y, [(axis, axis) for axis in range(x.rank - 3)])
    linker.link(x.elements(-3), np.repeat(y.elements(-3), squared), "makes pixels of channels")
    for tensor in (x, y):
        linker.pin_axes(tensor, "it is a pixel", (-2, -1))


def _link_runs(site: Site) -> None:
    """Pair the shortest runs of axes with equal products; each run is one axis of both, merged and taken apart."""
    x, y, linker = site.argument(0), site.output, site.linker
    ahead, behind = _equal_ends(x.shape, y.shape, site)
    linker.link_axes(x, y, [(axis, axis) for axis in range(ahead)])
    linker.link_axes(x, y, [(x.rank - 1 - place, y.rank - 1 - place) for place in range(behind)])
    axes, places = range(ahead, x.rank - behind), range(ahead, y.rank - behind)
    if any(x.shape[axis] is None for axis in axes) or any(y.shape[place] is None for place in places):
        linker.pin_axes(x, f"{site.name!r} takes it apart at run time", axes)
        linker.pin_axes(y, f"{site.name!r} takes it apart at run time", places)
        return
    for run, other in _runs(x, axes, y, places):
        _link_run(site, run, other)


def _equal_ends(one: Sequence[int | None], other: Sequence[int | None], site: Site) -> tuple[int, int]:
    """How many axes in front, and how many at the end, are the same; all others are known, if they can be."""
    if None not in one and None not in other:
        return 0, 0
    before, after = site.argument_extents(0), site.output_extents()
    least = min(len(one), len(other))
    ahead = next((i for i in range(least) if not site.is_equal(before[i], after[i])), least)
    rest = least - ahead
    behind = next((i for i in range(rest) if not site.is_equal(before[-1 - i], after[-1 - i])), rest)
    return ahead, behind


def _runs(x: Tensor, axes: Sequence[int], y: Tensor, places: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Runs of axes of x and of y with the same number of elements; axes of one element are in none."""
    left = [axis for axis in axes if x.shape[axis] != 1]
    right = [place for place in places if y.shape[place] != 1]
    runs = []
    while left and right:
        run, other = [left.pop(0)], [right.pop(0)]
        while (one := _size(x, run)) != (two := _size(y, other)):
            shorter, rest = (run, left) if one < two else (other, right)
            if not rest:
                break
            shorter.append(rest.pop(0))
        runs.append((run, other))
    return runs


def _size(tensor: Tensor, axes: Sequence[int]) -> int:
    return math.prod(tensor.shape[axis] or 0 for axis in axes)


def _link_run(site: Site, axes: Sequence[int], places: Sequence[int]) -> None:
    x, y, linker = site.argument(0), site.output, site.linker
    before = [x.elements(axis) for axis in axes]
    after = [y.elements(place) for place in places]
    if len(before) == len(after) == 1:
        linker.link(before[0], after[0])
    elif len(after) == 1:
        linker.choose(after[0], before)
    elif len(before) == 1:
        linker.choose(before[0], after)
    else:
        merged = linker.virtual(_size(x, axes))
        linker.choose(merged, before)
        linker.choose(merged, after)
