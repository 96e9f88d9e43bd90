"""The rank of a noisy matrix by empirical variational Bayesian matrix factorisation.

Source: S. Nakajima, M. Sugiyama, S. D. Babacan, R. Tomioka, "Global Analytic Solution of Fully-observed Variational
Bayesian Matrix Factorization", JMLR 14, 2013: the threshold of singular values and its constant, and the free energy
whose minimum is the noise variance.
"""

from __future__ import annotations

import numpy as np

_TAU = 2.5129  # the zero of the function that decides, by the square root of the matrix' aspect ratio
_STEPS = 400  # of the search for the noise, twice: the whole range, then around its best


def vbmf_rank(matrix: np.ndarray) -> int:
    """How many singular values stand out of the noise that the matrix itself tells.

    Args:
        matrix: `[L, M]`.

    Returns:
        From 0, for noise alone or zeros, to the lesser of both extents, where there is no noise.
    """
    short, long = sorted(matrix.shape)
    squares = np.square(np.linalg.svd(matrix.astype(np.float64), compute_uv=False))
    if not squares.sum() > 0:
        return 0
    squares = squares / squares[0]  # of no matter to the rank, and far from underflow
    squares[squares < (long * np.finfo(np.float64).eps) ** 2] = 0  # what rounding alone leaves
    aspect = short / long
    tau = _TAU * np.sqrt(aspect)
    edge = (1 + tau) * (1 + aspect / tau)
    most = max(int(np.ceil(short / (1 + aspect))) - 1, 0)
    # The noise is at most the mean square, and so much that no more than `most` values stand out.
    highest = squares.sum() / (short * long)
    lowest = max(squares[most] / (long * edge), squares[most:].mean() / long)
    if lowest <= 0:
        return int((squares > 0).sum())
    noise = highest if lowest >= highest else _least(squares, short, long, lowest, highest, edge)
    return int((squares > long * noise * edge).sum())


def _least(squares: np.ndarray, short: int, long: int, lowest: float, highest: float, edge: float) -> float:
    """The noise variance of least free energy between two."""
    for _ in range(2):
        candidates = np.geomspace(lowest, highest, _STEPS)
        best = int(np.argmin([_free_energy(squares / (long * noise), short, long, edge) for noise in candidates]))
        lowest, highest = candidates[max(best - 1, 0)], candidates[min(best + 1, _STEPS - 1)]
    return float(candidates[best])


def _free_energy(values: np.ndarray, short: int, long: int, edge: float) -> float:
    """Up to a constant, by squared singular values in units of `long` times the noise variance."""
    values = np.maximum(values, np.finfo(np.float64).tiny)
    large, small = values[values > edge], values[values <= edge]
    aspect = short / long
    total = (small - np.log(small)).sum() + (large - np.log(large)).sum()
    rest = large - (1 + aspect)
    tau = 0.5 * (rest + np.sqrt(np.maximum(rest**2 - 4 * aspect, 0.0)))
    return float(total + (np.log(tau + 1) + aspect * np.log(tau / aspect + 1) - tau).sum())
