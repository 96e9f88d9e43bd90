"""k-means of numbers on a line.

On a line each cluster is an interval, so that the best clusters of n sorted numbers can be computed, not only
approached: `cost(k, i) = min over j of cost(k - 1, j) + deviation(j, i)`, the deviation out of prefix sums. That takes
n^2 k steps, so it is done exactly for numbers gathered in bins of like count, and Lloyd's iteration on all numbers
goes on from there until nothing changes. There is no random start: the same weights get the same codebook. A library's
k-means is made for many dimensions; it starts at random and answers a local optimum.

Sources: H. Wang and M. Song, "Ckmeans.1d.dp", The R Journal 3(2), 2011; S. Lloyd, "Least Squares Quantization in PCM",
IEEE Transactions on Information Theory 28(2), 1982.
"""

from __future__ import annotations

import numpy as np

_BINS = 512
_MOST_ROUNDS = 100  # each lowers the error; it is seldom more than 30


def cluster_centers(values: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """float64 `[at most count]`, ascending: centers that minimize `sum(weights * (values - nearest center)^2)`.

    Args:
        values, weights: float64 `[n]`, finite; weights above zero.
    """
    order = np.argsort(values, kind="stable")
    ordered = _Sums(values[order], weights[order])
    if len(np.unique(values)) <= count:
        return np.unique(values)
    edges = np.unique(np.searchsorted(values[order], np.unique(_quantiles(ordered.values, max(_BINS, 2 * count)))))
    centers = ordered.centers(edges[_best_edges(ordered, edges, count)])
    for _ in range(_MOST_ROUNDS):
        middles = (centers[1:] + centers[:-1]) / 2
        places = np.unique([0, *np.searchsorted(ordered.values, middles), len(values)])
        renewed = ordered.centers(places)
        if len(renewed) == len(centers) and np.array_equal(renewed, centers):
            break
        centers = renewed
    return centers


def _quantiles(ordered: np.ndarray, bins: int) -> np.ndarray:
    """Where bins begin that hold like many numbers, or are equally wide, and infinity: dense and sparse parts alike."""
    like_many = ordered[np.linspace(0, len(ordered) - 1, bins // 2).astype(np.int64)]
    like_wide = np.linspace(ordered[0], ordered[-1], bins // 2)
    return np.concatenate([like_many, like_wide, [np.inf]])


def _best_edges(sums: _Sums, edges: np.ndarray, count: int) -> np.ndarray:
    """Which of the edges bound the best clusters of whole bins: `[at most count + 1]`, the outermost too."""
    bins = len(edges) - 1
    deviation = sums.deviations(edges)  # [begin, end]
    best = deviation[0].copy()
    choices = []
    for _ in range(1, min(count, bins)):
        totals = best[:, None] + deviation
        choices.append(np.argmin(totals, axis=0))
        best = np.take_along_axis(totals, choices[-1][None], axis=0)[0]
    places = [bins]
    for choice in reversed(choices):
        places.append(int(choice[places[-1]]))
    return np.unique([0, *places])


class _Sums:
    """Prefix sums over sorted numbers."""

    def __init__(self, values: np.ndarray, weights: np.ndarray) -> None:
        self.values = values
        self._counts, self._sums, self._squares = (
            np.concatenate([[0.0], np.cumsum(weights * values**power)]) for power in (0, 1, 2)
        )

    def centers(self, places: np.ndarray) -> np.ndarray:
        """The mean of the numbers between each place and the next."""
        means: np.ndarray = np.diff(self._sums[places]) / np.diff(self._counts[places])
        return means

    def deviations(self, edges: np.ndarray) -> np.ndarray:
        """`[begin, end]`: of the numbers between two edges from their mean, squared; infinite backwards."""
        counts, sums, squares = (array[edges] for array in (self._counts, self._sums, self._squares))
        with np.errstate(divide="ignore", invalid="ignore"):
            mean_part = (sums[None] - sums[:, None]) ** 2 / (counts[None] - counts[:, None])
        found = np.maximum(squares[None] - squares[:, None] - mean_part, 0.0)
        behind = np.arange(len(edges))
        found[behind[:, None] == behind[None]] = 0.0
        found[behind[:, None] > behind[None]] = np.inf
        return found
