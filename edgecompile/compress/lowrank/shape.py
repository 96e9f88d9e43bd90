"""`LayerShape`: the sizes of a layer that can be factorised, as those of a convolution."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True)
class LayerShape:
    """A convolution without groups; a matrix product is one of 1x1 with its rows as places.

    Attributes:
        outputs, inputs: channels.
        kernel, strides, dilation: of height and width.
        padding: top, left, bottom, right.
        source, result: height and width of what is read and written. A dimension known at run time counts as 1.
        images: how many of them, likewise.
    """

    outputs: int
    inputs: int
    kernel: Pair = (1, 1)
    strides: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    source: Pair = (1, 1)
    result: Pair = (1, 1)
    images: int = 1

    @property
    def is_matrix(self) -> bool:
        """True for a matrix product and a 1x1 convolution."""
        return self.taps == 1

    @property
    def taps(self) -> int:
        """Of the kernel."""
        return self.kernel[0] * self.kernel[1]

    @property
    def terms(self) -> int:
        """Of each sum."""
        return self.inputs * self.taps

    @property
    def source_places(self) -> int:
        """Where a 1x1 convolution computes that keeps the size."""
        return self.images * self.source[0] * self.source[1]

    @property
    def column_places(self) -> int:
        """Where a kx1 convolution computes: the result's rows, the source's columns."""
        return self.images * self.result[0] * self.source[1]

    @property
    def result_places(self) -> int:
        """Where the layer computes."""
        return self.images * self.result[0] * self.result[1]

    @property
    def params(self) -> int:
        """Elements of the weight."""
        return self.outputs * self.terms

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return self.params * self.result_places
