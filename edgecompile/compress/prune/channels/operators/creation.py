"""Tensors of one number."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax

from edgecompile.compress.prune.channels.kept import Kept
from edgecompile.compress.prune.channels.rule import rule
from edgecompile.compress.prune.channels.site import Site


def shorter(site: Site, arguments: Sequence[relax.Expr], kept: Kept) -> relax.Expr:
    """The same with the shape that stays."""
    known = kept.shape(site.output)
    extents = site.call.args[0].values
    shape = [extent if stays is None else stays for extent, stays in zip(extents, known, strict=True)]
    return relax.Call(site.call.op, [relax.ShapeExpr(shape), *arguments[1:]], site.call.attrs, site.call.ty_args)


@rule("full", "zeros", "ones", rewrite=shorter)
def link_nothing(site: Site) -> None:
    """y[i] is the same number for every i."""
    if not isinstance(site.call.args[0], relax.ShapeExpr):
        site.refuse(f"the shape of {site.name!r} is computed")
