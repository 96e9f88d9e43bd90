"""Products of matrices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgecompile.compress.prune.channels.rule import rule
from edgecompile.compress.prune.channels.site import Site
from edgecompile.compress.prune.channels.tensor import Tensor


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


@rule("einsum")
def link_einsum(site: Site) -> None:
    """y[i, j] = sum over k of a[i, k] b[k, j], with a letter for each axis."""
    subscripts = str(site.call.attrs.subscripts).replace(" ", "")
    inputs, arrow, result = subscripts.partition("->")
    operands = list(zip(inputs.split(","), site.tensors_of(0), strict=True))
    if not arrow or "." in subscripts:
        site.refuse(f"{site.name!r} does not name all axes")
        return
    named = [*operands, (result, site.output)]
    first: dict[str, tuple[Tensor, int]] = {}
    for letters, tensor in named:
        for axis, letter in enumerate(letters):
            other, place = first.setdefault(letter, (tensor, axis))
            site.linker.link(tensor.elements(axis), other.elements(place))
    counts = Counter(letter for letters, _ in named for letter in letters)
    for letter, (tensor, axis) in first.items():
        if counts[letter] == 1:
            site.linker.pin_axes(tensor, f"{site.name!r} adds over it", [axis])
    _note_operands(site, operands, result)


def _note_operands(site: Site, operands: Sequence[tuple[str, Tensor]], result: str) -> None:
    for number, (letters, tensor) in enumerate(operands):
        others = {letter for place, (named, _) in enumerate(operands) if place != number for letter in named}
        for axis, letter in enumerate(letters):
            side = "input" if letter not in result else "each" if letter in others else "output"
            site.note_tensor(tensor, axis, "weight", side)
