"""`judge`: which layers ship in int8: those that are faster or smaller, within the drop that the user allows."""

from __future__ import annotations

from collections.abc import Callable

from edgecompile.compress.measuring.workbench import Workbench
from edgecompile.compress.quantize.mixed.choose import Choice
from edgecompile.compress.quantize.mixed.compiled import CompiledChoices
from edgecompile.compress.quantize.mixed.evidence import Evidence, constant_bytes, saved_by_layer
from edgecompile.compress.quantize.mixed.job import Job
from edgecompile.compress.quantize.mixed.verdict import Verdict, pronounce
from edgecompile.compress.sensitivity.measure import measure_sensitivity
from edgecompile.compress.sensitivity.progress import counted
from edgecompile.compress.sensitivity.variants import Variants, variants_of


def judge(job: Job, progress: Callable[[str], None]) -> Verdict:
    """Measure float and int8, free the layers that do not pay or cost too much, and verify what is left.

    First go the layers that are neither faster in int8 nor make the model smaller, if the model without them is
    measured to be faster. Then, while the metric of the compiled model is below the limit, the layer with the most
    metric recovered for the time lost, by a simulation of the variants. Then go layers that do not make the model
    smaller, and whose conversions to and from int8 take more than they gain. In the end the metric of the compiled
    mixed model decides, and the times of float, int8 and mixed, measured in turns.

    Raises:
        InvalidInputError: the metric is no number, or its function fails.
    """
    sample = job.samples[0] if job.samples else {}
    with Workbench(job.model, job.layers, job.target, sample, progress) as bench:
        compiled = CompiledChoices(job, bench)
        compiled.metric(frozenset())  # a wrong evaluation should cost no minutes
        with variants_of(job.model, job.layers, job.compressed, progress) as variants:
            evidence = _evidence(job, compiled, bench, variants, progress)
            choice = Choice(job, evidence, compiled)
            choice.free_slow()
            choice.free_inexact(variants)
            choice.free_costly_borders()
            return pronounce(job, evidence, choice, compiled, bench)


def _evidence(
    job: Job, compiled: CompiledChoices, bench: Workbench, variants: Variants, progress: Callable[[str], None]
) -> Evidence:
    """Time, size and sensitivity of each layer."""
    both = [compiled.candidate(layers) for layers in (frozenset[str](), frozenset(job.layers))]
    plain, int8 = bench.layer_costs(both)
    return Evidence(
        plain=plain,
        int8=int8,
        unit=bench.unit,
        saved_bytes=saved_by_layer(job),
        whole_bytes=constant_bytes(job.model.module),
        sensitivity=measure_sensitivity(
            variants,
            job.layers,
            name=job.model.name,
            kind="quantize",
            key=job.key,
            samples=job.samples,
            metric=job.metric,
            path=job.sensitivity_path,
            progress=counted(progress),
        ),
    )
