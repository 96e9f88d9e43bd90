"""Times of compiled models that are fair to compare on a machine that does other work too."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from edgecompile.layers import layer_of

if TYPE_CHECKING:
    import numpy as np

    from edgecompile.artifact.artifact import Artifact

_ROUNDS = 11
_ROUND_MS = 5.0  # of one artifact in one round
_MOST_RUNS = 100


class Cost(NamedTuple):
    """What one inference takes.

    Attributes:
        median, least: over the rounds, or the same number twice where it was estimated.
        ratio: to the first of those that were compared, the median over the rounds.
    """

    median: float
    least: float
    ratio: float


def time_in_turns(artifacts: Sequence[Artifact], sample: Mapping[str, np.ndarray]) -> list[Cost]:
    """Milliseconds of each artifact, all taking turns: what slows the machine down for a while slows them all.

    Args:
        sample: the input by name; the self-test's where it is empty.
    """
    inputs = sample or None
    first = [artifact.bench(repeat=3, warmup=2, inputs=inputs).min_ms for artifact in artifacts]
    runs = [max(3, min(_MOST_RUNS, round(_ROUND_MS / max(ms, 1e-3)))) for ms in first]
    rounds = [
        [
            artifact.bench(repeat=repeat, warmup=1, inputs=inputs)
            for artifact, repeat in zip(artifacts, runs, strict=True)
        ]
        for _ in range(_ROUNDS)
    ]
    return [
        Cost(
            median=statistics.median(stats[index].median_ms for stats in rounds),
            least=min(stats[index].min_ms for stats in rounds),
            ratio=statistics.median(stats[index].median_ms / max(stats[0].median_ms, 1e-9) for stats in rounds),
        )
        for index in range(len(artifacts))
    ]


def time_layers(
    artifacts: Sequence[Artifact], layers: Collection[str], sample: Mapping[str, np.ndarray]
) -> list[dict[str, float]]:
    """Milliseconds of the kernels of each layer, for each artifact; the least of several medians, taken in turns.

    A kernel that computes several of the layers counts for each with an equal part. A layer that no kernel is known to
    compute is left out.
    """
    steps = [artifact.report.steps for artifact in artifacts]
    times = [
        [artifact.time_steps(repeat=10, warmup=1, inputs=sample or None) for artifact in artifacts]
        for _ in range(_ROUNDS)
    ]
    found = []
    for index in range(len(artifacts)):
        spent: dict[str, float] = defaultdict(float)
        for position, step in enumerate(steps[index]):
            members = list(dict.fromkeys(layer for name in step.layers if (layer := layer_of(name, layers))))
            least = min(taken[index][position].median_ms for taken in times)
            for layer in members:
                spent[layer] += least / len(members)
        found.append(dict(spent))
    return found
