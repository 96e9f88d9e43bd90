"""`Pooling`: the numbers that define the maxima or averages over windows of an image's pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgecompile.convolution import Convolution

PoolingKind: TypeAlias = Literal["max", "average"]
PoolingType: TypeAlias = Literal["float32", "int8"]


@dataclass(frozen=True)
class Pooling:
    """One pooling, without its data.

    Attributes:
        kind: what becomes of the values in a window; padding is never the largest, and adds nothing.
        windows: their places, as those of a depthwise convolution's kernel.
        counts_padding: an average is divided by the size of the whole window, not of its part in the image.
        dtype: of the values; averages are of floats.
    """

    kind: PoolingKind
    windows: Convolution
    counts_padding: bool = False
    dtype: PoolingType = "float32"

    def __post_init__(self) -> None:
        assert self.kind == "max" or self.dtype == "float32"
        assert self.windows.groups == self.windows.in_channels == self.windows.out_channels
