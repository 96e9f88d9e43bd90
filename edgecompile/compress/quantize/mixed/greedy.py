"""Greedy mixed precision: give layers back to float, the one that gives most for its time first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

_TRIED = 8  # layers whose freedom is tried before one is chosen: a metric may take minutes


@dataclass(frozen=True)
class Prospect:
    """What is known of one layer before the search.

    Attributes:
        drop: of the metric where this layer alone is int8.
        noise: power of the outputs' error where this layer alone is int8, as a part of the signal.
        lost: by how much the model becomes slower where the layer is float; above zero.
    """

    drop: float
    noise: float
    lost: float


@dataclass(frozen=True)
class Freed:
    """A layer that went back to float.

    Attributes:
        recovered: by how much the metric rose.
        metric: with all layers float that were freed so far.
    """

    layer: str
    recovered: float
    metric: float


class GreedySearch:
    """Which of the compressed layers to free so that a metric reaches a limit.

    Args:
        prospects: of each compressed layer.
        metric_of: the metric where these layers are compressed.
    """

    def __init__(self, prospects: Mapping[str, Prospect], metric_of: Callable[[frozenset[str]], float]) -> None:
        self._prospects = prospects
        self._metric_of = metric_of
        self._known: dict[frozenset[str], float] = {}

    def metric(self, layers: frozenset[str]) -> float:
        """The metric where these layers are compressed; computed once."""
        if layers not in self._known:
            self._known[layers] = self._metric_of(layers)
        return self._known[layers]

    def free(self, layers: frozenset[str], limit: float) -> list[Freed]:
        """Free layers until the metric is at least `limit`, or none is left.

        Each time the layer with the most (metric recovered) / (time lost) goes; where none recovers anything alone, the
        one with the most noise for its time.
        """
        freed: list[Freed] = []
        while layers and self.metric(layers) < limit:
            freed.append(self.next(layers))
            layers -= {freed[-1].layer}
        return freed

    def next(self, layers: frozenset[str]) -> Freed:
        """The layer to free next; there is one."""
        ranked = sorted(layers, key=self._promise, reverse=True)
        tried = {layer: self.metric(layers - {layer}) - self.metric(layers) for layer in ranked[:_TRIED]}
        best = max(tried, key=lambda layer: tried[layer] / self._prospects[layer].lost)
        layer = best if tried[best] > 0 else ranked[0]
        return Freed(layer, tried[layer], self.metric(layers - {layer}))

    def give_back(self, layers: frozenset[str], freed: list[Freed], limit: float) -> list[str]:
        """Those of the freed layers, first freed first, that can be int8 again although the limit holds."""
        returned: list[str] = []
        for entry in freed:
            if self.metric(layers | {entry.layer}) >= limit:
                layers |= {entry.layer}
                returned.append(entry.layer)
        return returned

    def _promise(self, layer: str) -> tuple[float, float, str]:
        found = self._prospects[layer]
        return (max(found.drop, 0.0) / found.lost, found.noise / found.lost, layer)
