"""`Verdict`: what ships, by the measurements of what could."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.compress.measuring.workbench import Workbench
from edgecompile.compress.quantize.mixed.choose import Choice
from edgecompile.compress.quantize.mixed.compiled import CompiledChoices
from edgecompile.compress.quantize.mixed.evidence import Evidence
from edgecompile.compress.quantize.mixed.job import Job
from edgecompile.compress.quantize.mixed.judgement import Judgement, LayerResult, VariantResult
from edgecompile.compress.quantize.mixed.wording import outcome_line
from edgecompile.compress.quantize.mixed.worth import is_faster, is_smaller

if TYPE_CHECKING:
    import tvm


@dataclass(frozen=True)
class Verdict:
    """What ships: a judgement, the module, and the layers of it that are int8; none where float ships."""

    judgement: Judgement
    module: tvm.IRModule
    layers: frozenset[str]


def pronounce(job: Job, evidence: Evidence, choice: Choice, compiled: CompiledChoices, bench: Workbench) -> Verdict:
    """Measure float, int8 and the choice in turns, and decide."""
    choices = list(dict.fromkeys([frozenset[str](), frozenset(job.layers), choice.layers]))
    variants = _variants(choices, compiled, bench)
    plain, best = variants[0], variants[choices.index(choice.layers)]
    pays = bool(choice.layers) and (is_faster(best.cost.ratio) or is_smaller(best.total_bytes, plain.total_bytes))
    judgement = Judgement(
        target=job.target.name,
        unit=evidence.unit,
        metric=job.metric.name if job.metric else "",
        max_drop=job.max_drop,
        variants=tuple(variants),
        layers=tuple(_layer(layer, evidence, choice, pays) for layer in job.layers),
        outcome=outcome_line(variants, best, pays, len(job.layers), evidence.unit, job.max_drop),
        ships=(best if pays else plain).name,  # type: ignore[arg-type]  # `CompiledChoices` names them
    )
    kept = choice.layers if pays else frozenset()
    return Verdict(judgement, compiled.candidate(kept).module, kept)


def _variants(choices: list[frozenset[str]], compiled: CompiledChoices, bench: Workbench) -> list[VariantResult]:
    candidates = [compiled.candidate(layers) for layers in choices]
    return [
        VariantResult(
            name=candidate.name,
            int8_layers=len(layers),
            metric=compiled.metric(layers),
            cost=cost,
            library_bytes=candidate.library_bytes,
            weight_bytes=candidate.weight_bytes,
        )
        for layers, candidate, cost in zip(choices, candidates, bench.compare(candidates), strict=True)
    ]


def _layer(layer: str, evidence: Evidence, choice: Choice, pays: bool) -> LayerResult:
    kept = pays and layer in choice.layers
    if layer in choice.freed:
        reason = choice.freed[layer]
    elif kept:
        reason = _why_kept(layer, evidence, choice)
    else:
        reason = f"the model as a whole is neither faster nor smaller ({evidence.time(layer)})"
    return LayerResult(
        name=layer,
        snr_db=evidence.sensitivity.layers[layer].snr_db,
        drop=evidence.sensitivity.drop(layer),
        cost_float=evidence.plain.get(layer),
        cost_int8=evidence.int8.get(layer),
        saved_bytes=evidence.saved_bytes[layer],
        kept=kept,
        reason=reason,
    )


def _why_kept(layer: str, evidence: Evidence, choice: Choice) -> str:
    time = evidence.time(layer)
    if layer in choice.notes:
        return f"int8: {choice.notes[layer]} ({time})"
    if evidence.is_slow(layer):
        share = evidence.saved_bytes[layer] / evidence.whole_bytes
        return f"int8: not faster ({time}), but saves {share:.1%} of the weights"
    return f"int8: {time}"
