"""`Choice`: which layers stay int8, and why the others went back to float."""

from __future__ import annotations

from edgecompile.compress.quantize.mixed.compiled import CompiledChoices
from edgecompile.compress.quantize.mixed.evidence import Evidence
from edgecompile.compress.quantize.mixed.greedy import Freed, GreedySearch
from edgecompile.compress.quantize.mixed.job import Job
from edgecompile.compress.quantize.mixed.worth import LAYER_SMALLER, is_faster
from edgecompile.compress.sensitivity.variants import Variants

_MOST_BORDERS = 2  # layers that are tried in float for their borders' sake: each try is a compilation


class Choice:
    """Begins with all layers in int8; each step frees some.

    Attributes:
        layers: that are int8.
        freed: why, by layer.
        notes: on layers that stay although they are not faster.
    """

    def __init__(self, job: Job, evidence: Evidence, compiled: CompiledChoices) -> None:
        self._job, self._evidence, self._compiled = job, evidence, compiled
        self.layers = frozenset(job.layers)
        self.freed: dict[str, str] = {}
        self.notes: dict[str, str] = {}

    def free_slow(self) -> None:
        """Free the layers that are neither faster nor smaller, where that makes the whole model faster."""
        evidence = self._evidence
        slow = [layer for layer in self._job.layers if evidence.is_slow(layer) and evidence.is_small(layer)]
        if not slow:
            return
        rest = self.layers - set(slow)
        ratio = self._compiled.ratio(rest, self.layers)
        if ratio >= 1:
            note = f"its own kernel is not faster, but the model is slower with it in float ({ratio:.3f} of the time)"
            self.notes.update(dict.fromkeys(slow, note))
            return
        for layer in slow:
            self.freed[layer] = (
                f"not faster ({evidence.time(layer)}), and saves less than {LAYER_SMALLER:.0%} of the weights"
            )
        self.layers = rest

    def free_inexact(self, variants: Variants) -> None:
        """Free layers until the compiled model is good enough.

        Args:
            variants: that simulate the model with some layers in int8.
        """
        before, metric = self._compiled.metric(frozenset()), self._job.metric
        if before is None or metric is None or self._job.max_drop is None:
            return
        limit = before - self._job.max_drop - 1e-9 * max(1.0, abs(before))  # sums of decimals are not exact
        prospects = self._evidence.prospects(self._job)
        search = GreedySearch(prospects, lambda layers: metric(variants.predict(layers)))
        while self.layers and not self._reaches(limit):
            freed = search.free(self.layers, limit)
            if not freed:  # the simulation is content, the compiled model is not
                freed = [search.next(self.layers)]
            self.layers -= {entry.layer for entry in freed}
            returned = search.give_back(self.layers, freed[:-1], limit)
            self.layers |= set(returned)
            for entry in freed:
                if entry.layer not in returned:
                    self.freed[entry.layer] = self._why_inexact(entry)

    def free_costly_borders(self) -> None:
        """Free layers that gain little and save nothing, as long as each makes the compiled model faster."""
        evidence = self._evidence
        small = [
            layer
            for layer in self.layers
            if evidence.is_timed(layer) and evidence.is_small(layer) and layer not in self.notes
        ]
        for layer in sorted(small, key=lambda name: (evidence.gain(name), name))[:_MOST_BORDERS]:
            rest = self.layers - {layer}
            if not rest:
                return
            ratio = self._compiled.ratio(rest, self.layers)
            before, after = self._compiled.metric(self.layers), self._compiled.metric(rest)
            if not is_faster(ratio) or (before is not None and after is not None and after < before):
                return
            self.freed[layer] = f"with its conversions to and from int8 not faster ({ratio:.3f} of the time without)"
            self.layers = rest

    def _reaches(self, limit: float) -> bool:
        found = self._compiled.metric(self.layers)
        return found is not None and found >= limit

    def _why_inexact(self, entry: Freed) -> str:
        gives = f"gives {entry.recovered:.4g} of the metric back" if entry.recovered > 0 else "has the most noise left"
        return f"too inexact in int8: float {gives} ({self._evidence.time(entry.layer)})"
