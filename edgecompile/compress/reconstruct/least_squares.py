"""`Fit`: the weights and biases with which a layer comes nearest to what it shall answer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import linalg

_DAMPING = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # times the mean square of the inputs; what is held out decides
_HELD_OUT = 4  # every fourth sample


class Fitted(NamedTuple):
    """What a fit found.

    Attributes:
        weight: float64 `[groups, channels, terms]`.
        bias: float64 `[groups, channels]`, to add to the layer's sums.
        before, after: mean square error on the samples that were held out, with the old weights and no bias, and with
            these; 0 to 1, where 1 is the variance of what the layer shall answer.
    """

    weight: np.ndarray
    bias: np.ndarray
    before: float
    after: float


class Moments:
    """Sums over rows of inputs and the results wanted for them.

    Args:
        groups, channels, terms: a row of `terms` inputs and `channels` results for each group.
    """

    def __init__(self, groups: int, channels: int, terms: int) -> None:
        self.count = 0
        self.x = np.zeros((groups, terms))
        self.y = np.zeros((groups, channels))
        self.xx = np.zeros((groups, terms, terms))
        self.xy = np.zeros((groups, terms, channels))
        self.yy = np.zeros((groups, channels))

    def add(self, rows: np.ndarray, results: np.ndarray) -> None:
        """Rows `[groups, n, terms]` and results `[groups, n, channels]`."""
        self.count += rows.shape[1]
        self.x += rows.sum(1, dtype=np.float64)
        self.y += results.sum(1, dtype=np.float64)
        self.xx += rows.transpose(0, 2, 1) @ rows  # float32 sums of a sample's rows, added in float64
        self.xy += rows.transpose(0, 2, 1) @ results
        self.yy += np.square(results, dtype=np.float64).sum(1)

    def error(self, weight: np.ndarray, bias: np.ndarray) -> float:
        """Sum of (row @ weight^T + bias - result)^2 over everything."""
        quadratic = np.einsum("gct,gtu,gcu->", weight, self.xx, weight, optimize=True)
        linear = 2 * np.einsum("gct,gtc->", weight, self.xy, optimize=True)
        mixed = 2 * np.einsum("gct,gt,gc->", weight, self.x, bias, optimize=True)
        rest = (self.yy - 2 * bias * self.y + self.count * bias**2).sum()
        return float(max(quadratic - linear + mixed + rest, 0.0))

    @property
    def variance(self) -> float:
        """Sum of squared distances of the results from their means."""
        return float((self.yy - self.y**2 / max(self.count, 1)).sum())


class Fit:
    """Gathers samples of a layer, and fits it.

    Args:
        weight: as it is, `[groups, channels, terms]`.
    """

    def __init__(self, weight: np.ndarray) -> None:
        self._weight = weight.astype(np.float64)
        groups, channels, terms = weight.shape
        self._seen, self._held_out = Moments(groups, channels, terms), Moments(groups, channels, terms)
        self._samples = 0

    def add(self, rows: np.ndarray, results: np.ndarray) -> None:
        """One sample; see `Moments.add`."""
        is_held_out = self._samples % _HELD_OUT == _HELD_OUT - 1
        (self._held_out if is_held_out else self._seen).add(rows, results)
        self._samples += 1

    def bias(self) -> Fitted:
        """With the weights that are there: the mean of each result becomes what it shall be."""
        return self._judged(self._weight, self._bias_for(self._weight))

    def least_squares(self) -> Fitted:
        """min over W, b of sum |W x + b - y|^2 + damping |W - W0|^2, the damping that does best on what was held out.

        Source of the idea of refitting after pruning: Y. He et al., "Channel Pruning for Accelerating Very Deep Neural
        Networks", ICCV 2017, section 3.2.
        """
        best = self.bias()
        for damping in _DAMPING:
            try:
                weight = self._solve(damping)
            except linalg.LinAlgError:  # inputs that do not vary but for rounding: the bias says all
                continue
            found = self._judged(weight, self._bias_for(weight))
            if found.after < best.after:
                best = found
        return best

    def _solve(self, damping: float) -> np.ndarray:
        seen = self._seen
        count = max(seen.count, 1)
        weights = []
        for group, start in enumerate(self._weight):
            mean, wanted = seen.x[group] / count, seen.y[group] / count
            covariance = seen.xx[group] / count - np.outer(mean, mean)
            mixed = seen.xy[group] / count - np.outer(mean, wanted)
            ridge = damping * max(np.trace(covariance) / len(mean), np.finfo(np.float32).tiny)
            system = covariance + ridge * np.eye(len(mean))
            weights.append(linalg.solve(system, mixed + ridge * start.T, assume_a="pos", check_finite=False).T)
        return np.stack(weights)

    def _bias_for(self, weight: np.ndarray) -> np.ndarray:
        count = max(self._seen.count, 1)
        found: np.ndarray = (self._seen.y - np.einsum("gct,gt->gc", weight, self._seen.x)) / count
        return found

    def _judged(self, weight: np.ndarray, bias: np.ndarray) -> Fitted:
        judge = self._held_out if self._held_out.count else self._seen
        scale = judge.variance if judge.variance > 0 else 1.0
        before = judge.error(self._weight, np.zeros_like(bias))
        return Fitted(weight, bias, before / scale, judge.error(weight, bias) / scale)
