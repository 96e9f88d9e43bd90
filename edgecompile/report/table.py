"""A judgement as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from edgecompile.compress.measuring.wording import number
from edgecompile.compress.quantize.mixed.judgement import Judgement


def markdown(judgement: Judgement) -> str:
    """The outcome, a table of the variants, and one of the layers."""
    unit, first = judgement.unit, judgement.variants[0]
    how = "measured in turns" if unit == "ms" else f"estimated: {judgement.target} cannot run here"
    variants = [
        (
            variant.name,
            f"{variant.int8_layers} of {len(judgement.layers)}",
            number(variant.metric),
            number(variant.cost.median),
            number(variant.cost.least),
            f"{variant.cost.ratio:.2f}",
            f"{variant.total_bytes / 1000:,.1f}",
            f"{variant.total_bytes / max(first.total_bytes, 1):.2f}",
        )
        for variant in judgement.variants
    ]
    layers = [
        (
            layer.name,
            "int8" if layer.kept else "float",
            "-" if layer.snr_db is None else f"{layer.snr_db:.1f}",
            number(layer.drop),
            number(layer.cost_float),
            number(layer.cost_int8),
            f"{layer.saved_bytes / 1000:,.1f}",
            layer.reason,
        )
        for layer in judgement.layers
    ]
    metric = judgement.metric or "metric"
    header = ("model", "int8 layers", metric, f"median {unit}", f"least {unit}", "time", "KB", "size")
    layer_header = ("layer", "ships", "SNR dB", "drop alone", f"float {unit}", f"int8 {unit}", "KB saved", "why")
    return "\n".join(
        [
            f"{judgement.outcome}.",
            "",
            f"Target {judgement.target}, one thread; {unit} {how}. Time and size are parts of float's.",
            "",
            *_table(header, variants),
            "",
            "Each layer alone in int8, all others float:",
            "",
            *_table(layer_header, layers),
            "",
        ]
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
