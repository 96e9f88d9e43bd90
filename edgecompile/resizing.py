"""Resizing of images: which pixels of the input each row and column of the output reads, and with which weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

METHODS = frozenset(("nearest_neighbor", "linear"))
COORDINATES = frozenset(("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "tf_half_pixel_for_nn"))
_NEAR = 1e-5  # what rounding down and up forgive, as in TVM's operator


@dataclass(frozen=True)
class Resizing:
    """One resizing, without its data.

    Attributes:
        batch: images.
        height, width: of the input, in pixels.
        out_height, out_width: of the output.
        taps: pixels along an axis that one of the output is made of: 1 (the nearest) or 2 (linear).
    """

    batch: int
    channels: int
    height: int
    width: int
    out_height: int
    out_width: int
    taps: int


@dataclass(frozen=True)
class Axis:
    """How the places along one axis are found; names as in `relax.image.resize2d`.

    Attributes:
        extent: of the input, in pixels.
        out_extent: of the output.
    """

    extent: int
    out_extent: int
    method: str
    coordinates: str
    rounding: str

    def taps(self) -> tuple[np.ndarray, np.ndarray]:
        """`[out_extent, taps]`: int32 places in the input, and their float32 weights."""
        import numpy as np

        place = self._places()
        if self.method == "nearest_neighbor":
            found, weights = self._nearest(place)[:, None], np.ones((self.out_extent, 1), np.float32)
        else:
            low = np.floor(place)
            found, second = np.stack([low, low + 1], axis=1), place - low
            weights = np.stack([1 - second, second], axis=1)
        return np.clip(found, 0, self.extent - 1).astype(np.int32), weights.astype(np.float32)

    def _places(self) -> np.ndarray:
        """Where each pixel of the output lies in the input, in float32 as the operator computes it."""
        import numpy as np

        pixel, half = np.arange(self.out_extent, dtype=np.float32), np.float32(0.5)
        scale = np.float32(self.extent) / np.float32(self.out_extent)
        match self.coordinates:
            case "align_corners":
                return np.float32(self.extent - 1) / np.float32(max(1, self.out_extent - 1)) * pixel
            case "asymmetric":
                return scale * pixel
            case "tf_half_pixel_for_nn":
                return (pixel + half) * scale
            case "pytorch_half_pixel" if self.out_extent == 1:
                return np.zeros(1, np.float32)
        return (pixel + half) * scale - half

    def _nearest(self, place: np.ndarray) -> np.ndarray:
        import numpy as np

        half, near = np.float32(0.5), np.float32(_NEAR)
        match self.rounding or ("round" if self.coordinates == "align_corners" else "floor"):
            case "round":
                return np.rint(place)
            case "round_prefer_floor":
                return np.ceil(place - half)
            case "round_prefer_ceil":
                return np.floor(place + half)
            case "ceil":
                return np.ceil(place - near)
        return np.floor(place + near)
