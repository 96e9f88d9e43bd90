"""GPTQ: weights rounded one term after the other; those that follow make up for each one's error.

Source: E. Frantar, S. Ashkboos, T. Hoefler, D. Alistarh, "GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers", ICLR 2023, algorithm 1.
"""

from __future__ import annotations

import numpy as np

_BLOCK = 128  # columns whose updates of all later columns are done as one product, as in the paper
_DAMPING = 0.01  # of the mean of the diagonal, as in the paper
_MOST_DAMPING = 1.0


def gptq(steps: np.ndarray, lowest: int, highest: int, gram: np.ndarray) -> np.ndarray | None:
    """Whole steps near the given ones, for which `rows @ result` is near `rows @ steps`.

    All output channels are rounded at once, in the order of the terms. In units of a channel's scale its error is the
    same quadratic form, so the scales do not appear.

    Args:
        steps: float `[groups, channels, terms]`, weights in units of their scales, zero points added.
        lowest, highest: integers.
        gram: float64 `[groups, terms, terms]`, sums of `row^T row`. Terms that were always zero are rounded to nearest.

    Returns:
        float64 whole numbers of the same shape; None where the Gram matrices cannot be inverted however damped.
    """
    factor = _inverse_factor(gram)
    if factor is None:
        return None
    rest = steps.astype(np.float64)
    whole = np.empty_like(rest)
    terms = rest.shape[-1]
    for start in range(0, terms, _BLOCK):
        stop = min(start + _BLOCK, terms)
        errors = np.empty((*rest.shape[:2], stop - start))
        for term in range(start, stop):
            whole[..., term] = np.clip(np.rint(rest[..., term]), lowest, highest)
            error = (rest[..., term] - whole[..., term]) / factor[:, term, term][:, None]
            rest[..., term:stop] -= error[..., None] * factor[:, None, term, term:stop]
            errors[..., term - start] = error
        rest[..., stop:] -= errors @ factor[:, start:stop, stop:]
    return whole


def _inverse_factor(gram: np.ndarray) -> np.ndarray | None:
    """The upper Cholesky factor of the inverse of the damped matrices; terms that are always zero stand alone."""
    diagonal = np.einsum("gii->gi", gram)
    dead = diagonal <= 0
    mean = np.maximum(diagonal.sum(axis=1) / np.maximum((~dead).sum(axis=1), 1), np.finfo(np.float64).tiny)
    damping = _DAMPING
    while damping <= _MOST_DAMPING:
        damped = gram.copy()
        np.einsum("gii->gi", damped)[...] += np.where(dead, 1.0, 0.0) * mean[:, None] + damping * mean[:, None]
        try:
            lower = np.linalg.cholesky(np.linalg.inv(damped / mean[:, None, None]))
        except np.linalg.LinAlgError:
            damping *= 10
            continue
        return np.ascontiguousarray(lower.transpose(0, 2, 1)) if np.isfinite(lower).all() else None
    return None
