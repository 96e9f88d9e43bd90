"""`Convolution`: the numbers that define a two-dimensional convolution; a matrix product is one with a 1x1 kernel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Convolution:
    """One convolution, without its data.

    Attributes:
        batch: images.
        in_channels, out_channels: of all groups together.
        height, width: of the input, in pixels.
        kernel: its height and width.
        strides, dilations: along height and width.
        padding: pixels of zeros above, left, below and right.
        groups: how many parts the channels fall into; each output channel reads the inputs of its own part.
    """

    batch: int
    in_channels: int
    out_channels: int
    height: int
    width: int
    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        assert min(self.batch, self.in_channels, self.out_channels, self.height, self.width, self.groups) > 0
        assert self.in_channels % self.groups == 0 and self.out_channels % self.groups == 0
        assert self.out_height > 0 and self.out_width > 0

    @property
    def out_height(self) -> int:
        """Rows of the output."""
        top, _, bottom, _ = self.padding
        return _extent(self.height + top + bottom, self.kernel[0], self.strides[0], self.dilations[0])

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        _, left, _, right = self.padding
        return _extent(self.width + left + right, self.kernel[1], self.strides[1], self.dilations[1])

    @property
    def group_channels(self) -> int:
        """Input channels that one output channel reads."""
        return self.in_channels // self.groups

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those with padding counted too."""
        outputs = self.batch * self.out_channels * self.out_height * self.out_width
        return outputs * self.group_channels * self.kernel[0] * self.kernel[1]

    @property
    def is_depthwise(self) -> bool:
        """True when each channel is convolved by itself."""
        return self.groups == self.in_channels == self.out_channels and self.groups > 1

    @property
    def is_pointwise(self) -> bool:
        """True when each output pixel is a matrix product of the input pixel at the same place."""
        return self.kernel == self.strides == (1, 1) and not any(self.padding)


def _extent(padded: int, kernel: int, stride: int, dilation: int) -> int:
    return (padded - dilation * (kernel - 1) - 1) // stride + 1
