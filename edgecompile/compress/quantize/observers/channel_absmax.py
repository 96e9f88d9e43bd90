"""The greatest magnitude of each channel, which equalisation and SmoothQuant weigh against the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class ChannelAbsMax:
    """max |values| per channel: of axis 1 for images [N, C, H, W], of the last axis for all others of rank 2 and more.

    Attributes:
        values: [channels] of the tensor's dtype; None before the first sample, and for ranks below 2.
    """

    def __init__(self) -> None:
        self.values: np.ndarray | None = None

    def update(self, array: np.ndarray) -> None:
        """Take in one more sample, of the same rank and number of channels as those before."""
        import numpy as np

        if array.ndim < 2:
            return
        channel = 1 if array.ndim == 4 else array.ndim - 1
        others = tuple(axis for axis in range(array.ndim) if axis != channel)
        found = np.maximum(array.max(axis=others), -array.min(axis=others))
        self.values = found if self.values is None else np.maximum(self.values, found)
