"""`TransposedConvolution`: the numbers that define one, and the ordinary convolutions that it consists of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgecompile.convolution import Convolution


@dataclass(frozen=True)
class Phase:
    """The output pixels whose row and column leave the same rests, divided by the strides.

    Attributes:
        index: from zero, row by row of the rests.
        rests: of row and column.
        taps: the kernel's rows and columns that these pixels meet, in the order of the pixels of the input; none where
            the kernel is smaller than the stride.
        problem: the convolution that computes them, with the taps as its kernel. Where there are no taps, it has one,
            whose weight is zero. Its padding may be negative.
    """

    index: int
    rests: tuple[int, int]
    taps: tuple[Sequence[int], Sequence[int]]
    problem: Convolution


@dataclass(frozen=True)
class TransposedConvolution:
    """One transposed convolution, without its data.

        y[n, k, h*s + i*d - p, w*s + j*d - p] += x[n, c, h, w] * weight[c, k, i, j]

    Attributes:
        batch: images.
        in_channels, out_channels: without groups.
        height, width: of the input, in pixels.
        kernel, strides, dilations: along height and width.
        padding: pixels that are cut off above, left, below and right of the result.
        output_padding: rows and columns that are added below and right of it.
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
    output_padding: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        assert min(self.batch, self.in_channels, self.out_channels, self.height, self.width) > 0
        assert self.out_height > 0 and self.out_width > 0

    @property
    def out_height(self) -> int:
        """Rows of the output."""
        return self._extent(0, self.height)

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        return self._extent(1, self.width)

    def _extent(self, axis: int, pixels: int) -> int:
        cut = self.padding[axis] + self.padding[axis + 2]
        reach = self.dilations[axis] * (self.kernel[axis] - 1) + 1
        return (pixels - 1) * self.strides[axis] + reach - cut + self.output_padding[axis]

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those that fall outside of the result counted too."""
        inputs = self.batch * self.in_channels * self.height * self.width
        return inputs * self.out_channels * math.prod(self.kernel)

    @property
    def most_taps(self) -> tuple[int, int]:
        """Rows and columns of the largest kernel of a phase."""
        rows, columns = (
            max(max(1, len(self.taps(axis, rest))) for rest in range(self.strides[axis])) for axis in (0, 1)
        )
        return rows, columns

    def taps(self, axis: int, rest: int) -> Sequence[int]:
        """The kernel's places, the last first, that meet output pixels with this rest: `i*d - p = rest` modulo s."""
        stride, dilation, cut = self.strides[axis], self.dilations[axis], self.padding[axis]
        return [i for i in reversed(range(self.kernel[axis])) if (rest + cut - i * dilation) % stride == 0]

    def first(self, axis: int, rest: int) -> int:
        """The pixel of the input, along an axis, that the phase's first output pixel meets by its first tap."""
        taps = self.taps(axis, rest)
        return (rest + self.padding[axis] - taps[0] * self.dilations[axis]) // self.strides[axis] if taps else 0

    def step(self, axis: int) -> int:
        """Pixels of the input between two taps of a phase."""
        return self.dilations[axis] // math.gcd(self.dilations[axis], self.strides[axis])

    def phases(self) -> Iterator[Phase]:
        """Those that have pixels; their number is at most the product of the strides."""
        for index in range(math.prod(self.strides)):
            rests = divmod(index, self.strides[1])
            if rests[0] < self.out_height and rests[1] < self.out_width:
                yield self._phase(index, rests)

    def _phase(self, index: int, rests: tuple[int, int]) -> Phase:
        taps = self.taps(0, rests[0]), self.taps(1, rests[1])
        if not all(taps):
            taps = [], []
        kernel = max(1, len(taps[0])), max(1, len(taps[1]))
        (top, bottom), (left, right) = (self._borders(axis, rests[axis], kernel[axis]) for axis in (0, 1))
        problem = Convolution(
            batch=self.batch,
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            height=self.height,
            width=self.width,
            kernel=kernel,
            padding=(top, left, bottom, right),
            dilations=(self.step(0), self.step(1)),
        )
        return Phase(index, rests, taps, problem)

    def _borders(self, axis: int, rest: int, taps: int) -> tuple[int, int]:
        """The padding before and behind the input with which its convolution has as many pixels as the phase."""
        pixels = (self.height, self.width)[axis]
        extent = math.ceil((self._extent(axis, pixels) - rest) / self.strides[axis])
        before = -self.first(axis, rest)
        return before, extent - pixels - before + self.step(axis) * (taps - 1)
