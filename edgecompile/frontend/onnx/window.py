"""The geometry of sliding windows: kernel, strides, dilations and paddings of convolutions and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgecompile.frontend.onnx.context import Dim
from edgecompile.frontend.onnx.node import Node


@dataclass(frozen=True)
class Window:
    """A window over spatial dimensions; every tuple has one entry per dimension.

    Attributes:
        output: positions along each dimension; None where the input's size is not known and nothing depends on it.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads_begin: tuple[int, ...]
    pads_end: tuple[int, ...]
    output: tuple[int | None, ...]
    extra: bool

    @property
    def pads(self) -> list[int]:
        """All beginnings, then all ends, as ONNX and Relax order them."""
        return [*self.pads_begin, *self.pads_end]


def read_window(node: Node, kernel: Sequence[int], spatial: Sequence[Dim]) -> Window:
    """The window of `node` over dimensions `spatial`.

    `extra` is True when ceil_mode adds a position that floor division would not.

    Raises:
        InvalidModelError: a list of the wrong length, a stride or dilation below 1, or a negative padding.
        UnsupportedModelError: auto_pad or ceil_mode over a dimension that is not known at import.
    """
    rank = len(spatial)
    strides = node.integers("strides") or [1] * rank
    dilations = node.integers("dilations") or [1] * rank
    pads = node.integers("pads") or [0] * (2 * rank)
    if not (len(kernel) == len(strides) == len(dilations) == rank and len(pads) == 2 * rank):
        raise node.invalid(f"kernel, strides, dilations and pads for {rank} dimensions were needed")
    if min([*kernel, *strides, *dilations], default=1) < 1:
        raise node.invalid("kernel, strides and dilations of at least 1 were needed")
    if min(pads, default=0) < 0:
        raise node.unsupported(f"pads of at least 0 were needed, found {pads}; slice the input instead")
    mode = node.string("auto_pad", "NOTSET")
    ceil_mode = bool(node.integer("ceil_mode", 0))
    if (mode.startswith("SAME") or ceil_mode) and not all(isinstance(size, int) for size in spatial):
        raise node.unsupported("auto_pad and ceil_mode need known spatial dimensions; give the inputs' shapes")
    begins, ends, outputs, extra = [], [], [], False
    for axis, size in enumerate(spatial):
        extent = (kernel[axis] - 1) * dilations[axis] + 1
        begin, end = (0, 0) if mode != "NOTSET" else (pads[axis], pads[axis + rank])
        if mode.startswith("SAME"):
            positions = -(-size // strides[axis])
            total = max((positions - 1) * strides[axis] + extent - size, 0)
            begin, end = (total // 2, total - total // 2) if mode == "SAME_UPPER" else (total - total // 2, total // 2)
        count: int | None = None
        if isinstance(size, int):
            room = size + begin + end - extent
            count = room // strides[axis] + 1
            if ceil_mode and mode == "NOTSET" and room % strides[axis]:
                count += 1
                count -= (count - 1) * strides[axis] >= size + begin  # a window must start before the input's end
                extra |= count > room // strides[axis] + 1
            if count <= 0:
                raise node.invalid(f"a window of {extent} that fits was needed, found a padded size of {room + extent}")
        begins.append(begin)
        ends.append(end)
        outputs.append(count)
    return Window(tuple(kernel), tuple(strides), tuple(dilations), tuple(begins), tuple(ends), tuple(outputs), extra)
