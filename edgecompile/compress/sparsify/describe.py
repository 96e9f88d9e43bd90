"""What a step would make of each layer, in the words of a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from edgecompile.compress.quantize.granularity import sum_axis
from edgecompile.compress.quantize.quantizable import quantizable_layers
from edgecompile.compress.sparsify.recipe import SparsifyStep
from edgecompile.compress.sparsify.resolve import ResolvedLayer, resolve
from edgecompile.storage.bit_stream import stream_bytes

if TYPE_CHECKING:
    from edgecompile.frontend.model import Model

_FLOAT_BYTES = 4


class SparseRow(NamedTuple):
    """What becomes of one layer.

    Attributes:
        layer, operator: which one it is.
        weights: how many it has.
        zeros: "80 %", "2:4", "global 80 %" where one threshold decides, "-" where it stays.
        weight_bytes: "36,864 to 8,525"; only as it is, where it stays or a threshold decides. Of N:M without what the
            last, shorter run of input channels keeps.
        why: the rule that won, after those that it changed.
    """

    layer: str
    operator: str
    weights: int
    zeros: str
    weight_bytes: str
    why: str


def preview(model: Model, step: SparsifyStep) -> list[SparseRow]:
    """What the step would make of each layer, without data; all take as many milliseconds as before.

    Raises:
        InvalidRecipeError: the step does not fit the model.
    """
    return [_row(found) for found in resolve(step, quantizable_layers(model))]


def _row(found: ResolvedLayer) -> SparseRow:
    shape = found.layer.weight_shape
    assert shape is not None, "resolved layers have weights"
    count = math.prod(shape)
    zeros, staying = _zeros(found, shape, count)
    before = count * _FLOAT_BYTES
    after = before if staying is None else stream_bytes(count, 1) + staying * _FLOAT_BYTES
    sizes = f"{before:,} to {after:,}" if after < before else f"{before:,}"
    return SparseRow(found.layer.name, found.layer.operator, count, zeros, sizes, " < ".join(found.rules))


def _zeros(found: ResolvedLayer, shape: tuple[int, ...], count: int) -> tuple[str, int | None]:
    """In words, and how many weights stay; None where that is not known, or all do."""
    rule = found.rule
    if rule.skip:
        return "-", None
    if found.is_global:
        return f"global {rule.sparsity:.0%}", None
    if rule.n_of_m is not None:
        n, m = rule.n_of_m
        inputs = shape[sum_axis(found.layer.operator, len(shape))]
        return str(rule.pattern), count // inputs * (inputs // m * n + min(inputs % m, n)) if inputs else None
    return ("-", None) if rule.sparsity is None else (f"{rule.sparsity:.0%}", count - round(rule.sparsity * count))
