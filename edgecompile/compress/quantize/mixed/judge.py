"""`judge`: which layers ship in int8: those that are faster or smaller, within the drop that the user allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.compress.quantize.mixed.greedy import Freed, GreedySearch, Prospect
from edgecompile.compress.quantize.mixed.judgement import Judgement, LayerResult, VariantResult
from edgecompile.compress.quantize.mixed.wording import outcome_line, place_of_time
from edgecompile.compress.quantize.mixed.workbench import Candidate, Workbench
from edgecompile.compress.sensitivity.measure import measure_sensitivity
from edgecompile.compress.sensitivity.metric import Metric
from edgecompile.compress.sensitivity.noise import HIGHEST_DB, Samples
from edgecompile.compress.sensitivity.progress import counted
from edgecompile.compress.sensitivity.record import Key, Sensitivity
from edgecompile.compress.sensitivity.variants import Compressed, Variants, variants_of
from edgecompile.frontend.model import Model
from edgecompile.layers import constants_of
from edgecompile.target import Target

if TYPE_CHECKING:
    import tvm

FASTER = 0.98  # of the time: with less to gain, noise decides
SMALLER = 0.98  # of the whole model's size
_LAYER_SMALLER = 0.01  # of the model's weights: what a layer must save to stay int8 although that is not faster
_MOST_BORDERS = 2  # layers that are tried in float for their borders' sake: each try is a compilation
_LEAST_LOST = 1e-3  # of the model's time, so that a layer which costs nothing in float has a finite price


@dataclass(frozen=True)
class Job:
    """What is judged.

    Attributes:
        model: float, simplified.
        layers: that can be int8, in order of execution.
        compressed: the model with some of them in int8.
        samples: for signal-to-noise ratios, and to time with; may be empty.
        key: of the sensitivities.
        metric: the user's; without one only time and size count.
        max_drop: by how much it may fall; None without a limit.
        target: that the times are for.
        sensitivity_path: of a file from which sensitivities are resumed.
    """

    model: Model
    layers: tuple[str, ...]
    compressed: Compressed
    samples: Samples
    key: Key
    metric: Metric | None
    max_drop: float | None
    target: Target
    sensitivity_path: Path | None


@dataclass(frozen=True)
class Verdict:
    """What ships: a judgement, the module, and the layers of it that are int8; none where float ships."""

    judgement: Judgement
    module: tvm.IRModule
    layers: frozenset[str]


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
        judging = _Judge(job, bench, progress)
        judging.check_metric()  # a wrong evaluation should cost no minutes
        with variants_of(job.model, job.layers, job.compressed, progress) as variants:
            return judging.verdict(variants)


class _Judge:
    def __init__(self, job: Job, bench: Workbench, progress: Callable[[str], None]) -> None:
        self._job, self._bench, self._progress = job, bench, progress
        self._all = frozenset(job.layers)
        self._candidates: dict[frozenset[str], Candidate] = {}
        self._metrics: dict[frozenset[str], float] = {}
        self._freed: dict[str, str] = {}  # why, by layer
        self._notes: dict[str, str] = {}  # of layers that stay
        self._saved: dict[str, int] = {}
        self._costs: list[dict[str, float]] = []

    def check_metric(self) -> None:
        """Evaluate the float model."""
        self._metric(frozenset())

    def verdict(self, variants: Variants) -> Verdict:
        job = self._job
        self._costs = self._bench.layer_costs([self._candidate(frozenset()), self._candidate(self._all)])
        whole = _constant_bytes(job.model.module)
        self._saved = {layer: whole - _constant_bytes(job.compressed(frozenset({layer}))) for layer in job.layers}
        sensitivity = measure_sensitivity(
            variants,
            job.layers,
            name=job.model.name,
            kind="quantize",
            key=job.key,
            samples=job.samples,
            metric=job.metric,
            path=job.sensitivity_path,
            progress=counted(self._progress),
        )
        chosen = self._without_slow(whole)
        chosen = self._within_limit(chosen, sensitivity, variants)
        chosen = self._without_costly_borders(chosen, whole)
        return self._finish(chosen, sensitivity)

    def _candidate(self, layers: frozenset[str]) -> Candidate:
        if layers not in self._candidates:
            name = "int8" if layers == self._all else "mixed" if layers else "float"
            module = self._job.compressed(layers) if layers else self._job.model.module
            self._candidates[layers] = self._bench.build(name, module)
        return self._candidates[layers]

    def _metric(self, layers: frozenset[str]) -> float | None:
        """Of the compiled model."""
        if self._job.metric is None:
            return None
        if layers not in self._metrics:
            self._metrics[layers] = self._job.metric(self._candidate(layers).predict)
        return self._metrics[layers]

    def _without_slow(self, whole: int) -> frozenset[str]:
        """Free the layers that are neither faster nor smaller, where that makes the whole model faster."""
        plain, full = self._costs
        slow = [
            layer
            for layer in self._job.layers
            if layer in plain
            and full.get(layer, 0.0) >= FASTER * plain[layer]
            and self._saved[layer] < _LAYER_SMALLER * whole
        ]
        if not slow:
            return self._all
        chosen = self._all - set(slow)
        time = {layer: place_of_time(plain.get(layer), full.get(layer), self._bench.unit) for layer in slow}
        _, mixed = self._bench.compare([self._candidate(self._all), self._candidate(chosen)])
        for layer in slow:
            if mixed.ratio < 1:
                self._freed[layer] = (
                    f"not faster ({time[layer]}), and saves less than {_LAYER_SMALLER:.0%} of the weights"
                )
            else:
                self._notes[layer] = (
                    f"its own kernel is not faster, but the model is slower with it in float "
                    f"({mixed.ratio:.3f} of the time)"
                )
        return chosen if mixed.ratio < 1 else self._all

    def _within_limit(self, chosen: frozenset[str], sensitivity: Sensitivity, variants: Variants) -> frozenset[str]:
        """Free layers until the compiled model is good enough."""
        before = self._metric(frozenset())
        if before is None or self._job.max_drop is None:
            return chosen
        limit = before - self._job.max_drop - 1e-9 * max(1.0, abs(before))  # sums of decimals are not exact
        metric = self._job.metric
        assert metric is not None, "there is a metric of the float model"
        search = GreedySearch(self._prospects(sensitivity), lambda layers: metric(variants.predict(layers)))
        while chosen and self._compiled(chosen) < limit:
            freed = search.free(chosen, limit)
            if not freed:  # the simulation is content, the compiled model is not
                freed = [search.next(chosen)]
            chosen -= {entry.layer for entry in freed}
            returned = search.give_back(chosen, freed[:-1], limit)
            chosen |= set(returned)
            for entry in freed:
                if entry.layer not in returned:
                    self._freed[entry.layer] = self._why_freed(entry)
        return chosen

    def _without_costly_borders(self, chosen: frozenset[str], whole: int) -> frozenset[str]:
        """Free layers that gain little and save nothing, as long as each makes the compiled model faster."""
        plain, full = self._costs
        gains = {layer: plain[layer] - full[layer] for layer in chosen if layer in plain and layer in full}
        small = [layer for layer in gains if self._saved[layer] < _LAYER_SMALLER * whole and layer not in self._notes]
        for layer in sorted(small, key=lambda name: (gains[name], name))[:_MOST_BORDERS]:
            rest = chosen - {layer}
            if not rest:
                break
            _, without = self._bench.compare([self._candidate(chosen), self._candidate(rest)])
            before, after = self._metric(chosen), self._metric(rest)
            if without.ratio > FASTER or (before is not None and after is not None and after < before):
                break
            self._freed[layer] = (
                f"with its conversions to and from int8 not faster ({without.ratio:.3f} of the time without)"
            )
            chosen = rest
        return chosen

    def _compiled(self, layers: frozenset[str]) -> float:
        metric = self._metric(layers)
        assert metric is not None
        return metric

    def _prospects(self, sensitivity: Sensitivity) -> dict[str, Prospect]:
        plain, full = self._costs
        least = max(_LEAST_LOST * sum(plain.values()), 1e-12)
        prospects = {}
        for layer in self._job.layers:
            ratio = sensitivity.layers[layer].snr_db
            lost = plain[layer] - full[layer] if layer in plain and layer in full else 0.0
            prospects[layer] = Prospect(
                drop=sensitivity.drop(layer) or 0.0,
                noise=10 ** (-(HIGHEST_DB if ratio is None else ratio) / 10),
                lost=max(lost, least),
            )
        return prospects

    def _why_freed(self, entry: Freed) -> str:
        plain, full = self._costs
        time = place_of_time(plain.get(entry.layer), full.get(entry.layer), self._bench.unit)
        gives = f"gives {entry.recovered:.4g} of the metric back" if entry.recovered > 0 else "has the most noise left"
        return f"too inexact in int8: float {gives} ({time})"

    def _finish(self, chosen: frozenset[str], sensitivity: Sensitivity) -> Verdict:
        """Measure what could ship, and decide."""
        choices = list(dict.fromkeys([frozenset(), self._all, chosen]))
        candidates = [self._candidate(layers) for layers in choices]
        costs = self._bench.compare(candidates)
        variants = [
            VariantResult(
                name=candidate.name,
                int8_layers=len(layers),
                metric=self._metric(layers),
                cost=cost,
                library_bytes=candidate.library_bytes,
                weight_bytes=candidate.weight_bytes,
            )
            for layers, candidate, cost in zip(choices, candidates, costs, strict=True)
        ]
        best = variants[choices.index(chosen)]
        pays = bool(chosen) and (best.cost.ratio <= FASTER or best.total_bytes <= SMALLER * variants[0].total_bytes)
        ships = best if pays else variants[0]
        judgement = Judgement(
            target=self._job.target.name,
            unit=self._bench.unit,
            metric=self._job.metric.name if self._job.metric else "",
            max_drop=self._job.max_drop,
            variants=tuple(variants),
            layers=tuple(self._layer(layer, sensitivity, chosen, pays) for layer in self._job.layers),
            outcome=outcome_line(variants, best, pays, len(self._job.layers), self._bench.unit, self._job.max_drop),
            ships=ships.name,  # type: ignore[arg-type]  # `_candidate` names them
        )
        kept = chosen if pays else frozenset()
        return Verdict(judgement, self._candidate(kept).module, kept)

    def _layer(self, layer: str, sensitivity: Sensitivity, chosen: frozenset[str], pays: bool) -> LayerResult:
        plain, full = self._costs
        kept = pays and layer in chosen
        time = place_of_time(plain.get(layer), full.get(layer), self._bench.unit)
        if layer in self._freed:
            reason = self._freed[layer]
        elif kept:
            reason = self._why_kept(layer, time)
        else:
            reason = f"the model as a whole is neither faster nor smaller ({time})"
        return LayerResult(
            name=layer,
            snr_db=sensitivity.layers[layer].snr_db,
            drop=sensitivity.drop(layer),
            cost_float=plain.get(layer),
            cost_int8=full.get(layer),
            saved_bytes=self._saved[layer],
            kept=kept,
            reason=reason,
        )

    def _why_kept(self, layer: str, time: str) -> str:
        plain, full = self._costs
        if layer in self._notes:
            return f"int8: {self._notes[layer]} ({time})"
        if layer in plain and layer in full and full[layer] >= FASTER * plain[layer]:
            share = self._saved[layer] / _constant_bytes(self._job.model.module)
            return f"int8: not faster ({time}), but saves {share:.1%} of the weights"
        return f"int8: {time}"


def _constant_bytes(module: tvm.IRModule) -> int:
    return sum(constant.bytes for constant in constants_of(module))
