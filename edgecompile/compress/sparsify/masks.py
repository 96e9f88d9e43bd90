"""Which weights stay: scores `[outputs, taps, inputs]`, not below zero, to a mask of that shape, True where one stays.

Of equal scores those that come first go first, so that the same scores have the same mask.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def keep_pattern(scores: np.ndarray, n: int, m: int) -> np.ndarray:
    """The best n of every m consecutive inputs; of the last ones, where m does not divide them, at most n.

    Source: A. Zhou et al., "Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch", ICLR 2021.
    """
    outputs, taps, inputs = scores.shape
    padded = np.pad(scores.astype(np.float64), ((0, 0), (0, 0), (0, -inputs % m)), constant_values=-1.0)
    runs = padded.reshape(outputs, taps, -1, m)
    order = np.argsort(runs, axis=3, kind="stable")
    kept = np.zeros(runs.shape, bool)
    np.put_along_axis(kept, order[..., m - n :], True, axis=3)
    return kept.reshape(outputs, taps, -1)[..., :inputs]


def keep_share(scores: np.ndarray, sparsity: float, *, per_output: bool) -> np.ndarray:
    """All but that share of the scores of the layer or of each output, rounded to whole weights; one stays at least."""
    rows = scores.reshape(len(scores) if per_output else 1, -1)
    going = min(round(sparsity * rows.shape[1]), rows.shape[1] - 1)
    kept = np.ones(rows.shape, bool)
    np.put_along_axis(kept, np.argsort(rows, axis=1, kind="stable")[:, :going], False, axis=1)
    return kept.reshape(scores.shape)


def keep_globally(scores: Mapping[str, np.ndarray], sparsity: float) -> dict[str, np.ndarray]:
    """All but that share of the scores of all layers together, which are made comparable first.

        comparable(u) = score(u)^2 / sum of score(v)^2 over the v of its layer with score(v) >= score(u)

    The best of each layer has 1, so that no layer loses all of its weights, whatever their scale is.

    Source: J. Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021 (LAMP).
    """
    comparable = {name: _comparable(array.reshape(-1)) for name, array in scores.items()}
    everything = np.concatenate(list(comparable.values()))
    kept = np.ones(everything.size, bool)
    kept[np.argsort(everything, kind="stable")[: round(sparsity * everything.size)]] = False
    ends = np.cumsum([array.size for array in comparable.values()])[:-1]
    parts = zip(scores.items(), np.split(kept, ends), strict=True)
    return {name: part.reshape(array.shape) for (name, array), part in parts}


def _comparable(scores: np.ndarray) -> np.ndarray:
    order = np.argsort(scores, kind="stable")
    ascending = scores[order].astype(np.float64)
    squares = np.square(ascending / (ascending[-1] or 1.0))
    not_below = np.cumsum(squares[::-1])[::-1]
    result = np.zeros(scores.size)
    result[order] = np.divide(squares, not_below, out=np.zeros(scores.size), where=not_below > 0)
    return result
