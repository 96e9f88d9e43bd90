"""Operators that put tensors side by side, or take them apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tvm import relax, tirx

from edgecompile.compress.prune.channels.kept import Kept
from edgecompile.compress.prune.channels.rule import rule
from edgecompile.compress.prune.channels.site import Site
from edgecompile.compress.prune.channels.tensor import Tensor


@rule("concat")
def link_concat(site: Site) -> None:
    """y = [x0, x1, ...] along an axis."""
    y, linker = site.output, site.linker
    axis = int(site.call.attrs.axis or 0) % y.rank
    parts = site.tensors_of(0)
    if site.call.attrs.axis is None or any(part.shape[axis] is None for part in parts):
        site.refuse(f"what {site.name!r} joins has extents that are known at run time only")
        return
    linker.link(np.concatenate([part.elements(axis) for part in parts]), y.elements(axis), "joins")
    _link_others(site, parts, axis)


@rule("stack")
def link_stack(site: Site) -> None:
    """y[..., i, ...] = xi, a tensor for each index of a new axis."""
    y, linker = site.output, site.linker
    new = int(site.call.attrs.axis or 0) % y.rank
    rest = [place for place in range(y.rank) if place != new]
    for part in site.tensors_of(0):
        linker.link_axes(part, y, list(enumerate(rest)), "stacks")
    linker.pin_axes(y, f"{site.name!r} has a tensor for each", [new])


def with_sizes(site: Site, arguments: Sequence[relax.Expr], kept: Kept) -> relax.Expr:
    """The same split, at the places where the parts end now."""
    axis = int(site.call.attrs.axis) % site.output.rank
    ends = np.cumsum([kept.extent(part, axis) for part in site.outputs])
    return relax.op.split(arguments[0], [int(end) for end in ends[:-1]], axis)


@rule("split", rewrite=with_sizes)
def link_split(site: Site) -> None:
    """y0, y1, ... = x along an axis."""
    x, linker = site.argument(0), site.linker
    axis = int(site.call.attrs.axis) % x.rank
    if x.shape[axis] is None:
        site.refuse(f"what {site.name!r} splits has an extent that is known at run time only")
        return
    whole = np.concatenate([part.elements(axis) for part in site.outputs])
    linker.link(x.elements(axis), whole, "splits")
    _link_others(site, [x, *site.outputs], axis)


def _link_others(site: Site, tensors: Sequence[Tensor], joined: int) -> None:
    """All axes but one are those of the first tensor and of the result."""
    first = site.output
    for tensor in tensors:
        site.linker.link_axes(tensor, first, [(axis, axis) for axis in range(first.rank) if axis != joined])


def with_bounds(site: Site, arguments: Sequence[relax.Expr], kept: Kept) -> relax.Expr:
    """The same slice, from where its first element that stays is now."""
    x = site.argument(0)
    axes, begin, end, *strides = ([_integer(value) for value in bound.fields] for bound in site.call.args[1:])
    for position, (axis, places) in enumerate(_steps(site).items()):
        stays = kept.indices(x, axis)
        if len(stays) != x.shape[axis]:  # then the step is 1
            begin[position] = int(np.searchsorted(stays, places.start))
            end[position] = int(np.searchsorted(stays, places.stop))
    return relax.op.strided_slice(arguments[0], axes, begin, end, *strides)


@rule("strided_slice", rewrite=with_bounds)
def link_slice(site: Site) -> None:
    """y = x[..., begin:end:step, ...]."""
    x, y, linker = site.argument(0), site.output, site.linker
    if not _is_known(site):
        site.refuse(f"the bounds of {site.name!r} are known at run time only")
        return
    steps = _steps(site)
    for axis in range(x.rank):
        places = steps.get(axis)
        if places is None:
            linker.link(x.elements(axis), y.elements(axis))
            continue
        linker.link(x.elements(axis)[np.array(places, np.int64)], y.elements(axis), "takes a part")
        if places.step != 1 or not places:
            linker.pin_axes(x, f"{site.name!r} takes numbers at a distance", [axis])


def _is_known(site: Site) -> bool:
    bounds = site.call.args[1:]
    if not all(isinstance(bound, relax.Tuple) for bound in bounds):
        return False
    values = [_integer(value) for bound in bounds for value in bound.fields]
    axes = [] if None in values else [_integer(value) for value in bounds[0].fields]
    x = site.argument(0)
    return None not in values and all(axis is not None and x.shape[axis] is not None for axis in axes)


def _steps(site: Site) -> dict[int, range]:
    """By axis, the indices that a slice takes."""
    x = site.argument(0)
    axes, begin, end, *strides = ([_integer(value) or 0 for value in bound.fields] for bound in site.call.args[1:])
    steps = strides[0] if strides else [1] * len(axes)
    return {
        axis % x.rank: range(x.shape[axis] or 0)[slice(low, high, step)]
        for axis, low, high, step in zip(axes, begin, end, steps, strict=True)
    }


def _integer(value: relax.Expr) -> int | None:
    number = getattr(value, "value", value)
    if isinstance(number, int):
        return number
    return int(number) if isinstance(number, tirx.IntImm) else None
