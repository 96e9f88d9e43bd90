"""AdaRound: each weight is rounded up or down, whichever makes the layer's sums err least.

Source: M. Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020, section 3.2: the
layer's own sums, without the activation behind them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

_ZETA, _GAMMA = 1.1, -0.1  # the sigmoid stretched beyond 0 and 1, so that both are reached
_ROUNDS = 1000
_BATCH = 256  # rows
_RATE = 0.05
_WARM_UP = 0.2  # of the rounds, without the regulariser
_BETAS = (20.0, 2.0)  # of the regulariser, from the first to the last round: first only the undecided are left alone
# Of the regulariser, a mean over the terms, where rounding to nearest has the error 1. Measured: below 3 many weights
# are still undecided in the end and the last rounding undoes what was learned, above 30 they are decided too early.
_WEIGHT = 10.0


def adaround(
    steps: np.ndarray, lowest: int, highest: int, rows: np.ndarray, scales: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """Whole steps beside the given ones, for which `rows @ (scales * result)` is near `rows @ (scales * steps)`.

    Minimises, for each channel, the mean squared error of the sums plus `_WEIGHT * mean(1 - |2 h - 1|^beta)`, where `h`
    from 0 to 1 is how far each weight is rounded up.

    Args:
        steps: float `[groups, channels, terms]`, weights in units of their scales, zero points added.
        lowest, highest: integers.
        rows: float32 `[groups, rows, terms]`, one row at least.
        scales: float32 `[groups, channels, terms]`, where terms of a channel differ in theirs.
        seed: of the batches.

    Returns:
        float64 whole numbers of the same shape.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    down = torch.from_numpy(np.floor(steps).astype(np.float32))
    part = torch.from_numpy((steps - np.floor(steps)).astype(np.float32))
    data = torch.from_numpy(np.ascontiguousarray(rows, np.float32))
    exact = down + part
    usual = torch.round(exact).clamp(lowest, highest) - exact
    relative = torch.ones(1) if scales is None else torch.from_numpy(scales / scales.max(axis=2, keepdims=True))
    # Per channel, so that one of large sums does not decide how long the others are looked at.
    error = _mean_square(usual * relative, data).clamp_min(torch.finfo(torch.float32).tiny)
    scaled = (part.clamp(1e-4, 1 - 1e-4) - _GAMMA) / (_ZETA - _GAMMA)
    choice = torch.log(scaled / (1 - scaled)).requires_grad_()
    optimizer = torch.optim.Adam([choice], lr=_RATE)
    for number in range(_ROUNDS):
        drawn = torch.randint(data.shape[1], (min(_BATCH, data.shape[1]),), generator=generator)
        optimizer.zero_grad()
        up = _rectified_sigmoid(choice)
        difference = (down + up).clamp(lowest, highest) - exact
        loss = (_mean_square(difference * relative, data[:, drawn]) / error).sum()
        done = (number / _ROUNDS - _WARM_UP) / (1 - _WARM_UP)
        if done > 0:
            beta = _BETAS[1] + 0.5 * (_BETAS[0] - _BETAS[1]) * (1 + np.cos(np.pi * done))
            loss = loss + _WEIGHT * (1 - (2 * up - 1).abs().pow(beta)).mean(dim=2).sum()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        whole = (down + (_rectified_sigmoid(choice) >= 0.5)).clamp(lowest, highest)
    return whole.numpy().astype(np.float64)


def _rectified_sigmoid(choice: torch.Tensor) -> torch.Tensor:
    return (choice.sigmoid() * (_ZETA - _GAMMA) + _GAMMA).clamp(0, 1)


def _mean_square(difference: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """`[groups, channels]`: of the sums of each channel over the rows."""
    return (rows @ difference.transpose(1, 2)).square().mean(dim=1)
