"""Judgements in one line."""

from __future__ import annotations

from collections.abc import Sequence

from edgecompile.compress.measuring.wording import number
from edgecompile.compress.quantize.mixed.judgement import VariantResult


def outcome_line(
    variants: Sequence[VariantResult], best: VariantResult, pays: bool, layers: int, unit: str, max_drop: float | None
) -> str:
    """What ships, and what that gives or why nothing else does.

    Args:
        variants: float and int8, and what was found between them.
        best: of what is within the limit of the metric.
        pays: True where it ships.
        layers: that could be int8.
    """
    plain, full = variants[0], variants[1]
    if not best.int8_layers and max_drop is not None and full.metric is not None:
        return (
            f"nothing pays, float ships: no choice of layers keeps the metric within {max_drop:g} of "
            f"{number(plain.metric)} (all int8: {number(full.metric)})"
        )
    size = best.total_bytes / max(plain.total_bytes, 1)
    gain = (
        f"{best.cost.ratio:.2f} of float's time ({number(plain.cost.median)} -> {number(best.cost.median)} {unit}), "
        f"{size:.2f} of its size"
    )
    if not pays:
        return f"nothing pays, float ships: {best.name} is neither faster nor smaller, {gain}"
    metric = "" if best.metric is None else f", metric {number(plain.metric)} -> {number(best.metric)}"
    return f"{best.name} ships: {best.int8_layers} of {layers} layers in int8, {gain}{metric}"
