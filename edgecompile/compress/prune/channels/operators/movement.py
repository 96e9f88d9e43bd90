"""Operators that put numbers elsewhere without taking axes apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tvm import relax

from edgecompile.compress.prune.channels.kept import Kept
from edgecompile.compress.prune.channels.rule import rule
from edgecompile.compress.prune.channels.site import Site


@rule("permute_dims")
def link_permutation(site: Site) -> None:
    """Axis i of y is axis axes[i] of x."""
    x, axes = site.argument(0), site.call.attrs.axes
    order = range(x.rank)[::-1] if axes is None else [int(axis) % x.rank for axis in axes]
    site.linker.link_axes(x, site.output, [(axis, place) for place, axis in enumerate(order)])


@rule("nn.pad")
def link_padding(site: Site) -> None:
    """What is put around x has to stay."""
    x, y, linker = site.argument(0), site.output, site.linker
    widths = np.array([int(width) for width in site.call.attrs.pad_width]).reshape(x.rank, 2)
    for axis, (before, after) in enumerate(widths):
        if not before and not after:
            linker.link(x.elements(axis), y.elements(axis))
            continue
        inner = y.elements(axis)[before : len(y.elements(axis)) - after]
        if str(site.call.attrs.pad_mode) != "constant":
            linker.pin(y.elements(axis), f"{site.name!r} repeats it")
        linker.link(x.elements(axis), inner, "pads")
        linker.pin(np.setdiff1d(y.elements(axis), inner), f"{site.name!r} puts it there")


@rule("flip")
def link_flip(site: Site) -> None:
    """y[i] = x[n - 1 - i] along an axis."""
    x, y = site.argument(0), site.output
    flipped = int(site.call.attrs.axis) % x.rank
    for axis in range(x.rank):
        elements = x.elements(axis)
        site.linker.link(elements[::-1] if axis == flipped else elements, y.elements(axis))


@rule("repeat")
def link_repeat(site: Site) -> None:
    """y[i] = x[i // n] along an axis: copies go together."""
    x, y, axis = site.argument(0), site.output, site.call.attrs.axis
    if axis is None:
        site.refuse(f"{site.name!r} takes it apart")
        return
    for place in range(x.rank):
        is_repeated = place == int(axis) % x.rank
        elements = np.repeat(x.elements(place), int(site.call.attrs.repeats)) if is_repeated else x.elements(place)
        site.linker.link(elements, y.elements(place), "repeats" if is_repeated else "")


@rule("tile")
def link_tile(site: Site) -> None:
    """y[i] = x[i mod n] along axes, of which new ones in front have to stay."""
    x, y = site.argument(0), site.output
    times = [int(count) for count in site.call.attrs.repeats]
    times = [1] * (y.rank - len(times)) + times
    new = y.rank - x.rank
    for place in range(x.rank):
        count = times[new + place]
        site.linker.link(np.tile(x.elements(place), count), y.elements(new + place), "repeats" if count > 1 else "")
    site.linker.pin_axes(y, f"{site.name!r} makes it", range(new))


def with_numbers(site: Site, arguments: Sequence[relax.Expr], kept: Kept) -> relax.Expr:
    """The same, with the numbers that what is read has now."""
    table, index = arguments
    if _picks(site):
        axis = int(site.call.attrs.axis) % site.argument(0).rank
        stays, places = kept.indices(site.argument(0), axis), kept.indices(site.output, axis)
        index = relax.const(np.searchsorted(stays, _numbers(site)[places]), site.call.args[1].ty.dtype.dtype)
    return relax.Call(site.call.op, [table, index], site.call.attrs, site.call.ty_args)


@rule("take", rewrite=with_numbers)
def link_rows(site: Site) -> None:
    """y[..., i, ...] = x[..., index[i], ...]: rows of a table, or numbers that are picked in a known order."""
    x, index, y, linker = site.argument(0), site.argument(1), site.output, site.linker
    if site.call.attrs.axis is None:
        site.refuse(f"{site.name!r} reads by number")
        return
    axis = int(site.call.attrs.axis) % x.rank
    if _picks(site):
        linker.link(x.elements(axis)[_numbers(site)], y.elements(axis), "picks")
    else:
        linker.pin_axes(x, f"{site.name!r} reads it by number", [axis])
        linker.link_axes(index, y, [(place, axis + place) for place in range(index.rank)])
    others = [(place, place) for place in range(axis)]
    others += [(place, place + index.rank - 1) for place in range(axis + 1, x.rank)]
    linker.link_axes(x, y, others)
    for place, _ in others:
        site.note(0, place, "table", "output")


def _picks(site: Site) -> bool:
    """True where known numbers are read of an axis of what is computed."""
    x, index = site.argument(0), site.argument(1)
    extent = x.shape[int(site.call.attrs.axis) % x.rank]
    return not x.is_fixed and index.constant is not None and index.rank == 1 and extent is not None


def _numbers(site: Site) -> np.ndarray:
    """What `take` reads, [n] from 0; its mode says what becomes of numbers that are none of the axis."""
    index, x = site.argument(1).constant, site.argument(0)
    assert index is not None
    extent = x.shape[int(site.call.attrs.axis) % x.rank] or 0
    numbers = index.value.numpy().astype(np.int64)
    return numbers % extent if str(site.call.attrs.mode) == "wrap" else np.clip(numbers, 0, extent - 1)
