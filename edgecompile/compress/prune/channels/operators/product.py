"""Products of matrices."""

from __future__ import annotations

from edgecompile.compress.prune.channels.rule import rule
from edgecompile.compress.prune.channels.site import Site


@rule("matmul")
def link_product(site: Site) -> None:
    """y[..., m, n] = sum over k of a[..., m, k] b[..., k, n]; a vector is one row of a, or one column of b."""
    a, b, y, linker = site.argument(0), site.argument(1), site.output, site.linker
    row = 1 if a.rank > 1 else 0
    column = 1 if b.rank > 1 else 0
    linker.link(a.elements(-1), b.elements(-1 - column), "" if b.is_fixed else "multiplies")
    if row:
        linker.link(a.elements(-2), y.elements(-1 - column))
    if column:
        linker.link(b.elements(-1), y.elements(-1))
    for tensor in (a, b):
        for axis in range(tensor.rank - 2):
            place = axis - (tensor.rank - 2) + (y.rank - row - column)
            if tensor.shape[axis] != 1 or y.shape[place] == 1:
                linker.link(tensor.elements(axis), y.elements(place))
    if column:
        site.note(1, -1, "weight", "output")
    site.note(1, -1 - column, "weight", "input")
