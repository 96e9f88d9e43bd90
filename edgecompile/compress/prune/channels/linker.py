"""`Linker`: which elements of a program's tensors can only go together, and which not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgecompile.compress.prune.channels.tensor import Elements, Tensor

if TYPE_CHECKING:
    import tvm


class Link(NamedTuple):
    """Elements that go together, one by one, because of an operator.

    Attributes:
        layer: the name of what the operator computes.
        reason: what it does to them, such as "adds"; "" where that is nothing to tell.
    """

    one: Elements
    other: Elements
    layer: str
    reason: str


class Pin(NamedTuple):
    """Elements that have to stay, and why."""

    elements: Elements
    reason: str


class LayerAxis(NamedTuple):
    """An axis of a weight, as its layer reads it.

    Attributes:
        layer: the name of what the layer computes.
        operator: of Relax, without its prefix.
        operand: "weight", "bias", "scale", or another name of the operator's argument.
        side: "output", "input", or "each" for what has one number for a channel.
        tensor: which may be a variable that constants feed.
        axis: of the tensor.
    """

    layer: str
    operator: str
    operand: str
    side: str
    tensor: Tensor
    axis: int


@dataclass(frozen=True)
class Choice:
    """Axes that a reshape merges into one, or splits it to: elements can go along one of them only.

    Attributes:
        layer: the name of what the reshape computes.
        merged: the elements of the one axis.
        axes: those of the others, in row-major order; their extents have the product len(merged).
    """

    layer: str
    merged: Elements
    axes: tuple[Elements, ...]

    def along(self, position: int) -> Elements:
        """For each element of the merged axis, the element of one of the axes at which it is."""
        extents = [len(axis) for axis in self.axes]
        return self.axes[position][np.unravel_index(np.arange(len(self.merged)), extents)[position]]


class Linker:
    """Collects what the operators of a program say of the elements of its tensors.

    Attributes:
        links, pins, choices, layer_axes: what was said so far, in order of execution.
        count: of elements.
    """

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.pins: list[Pin] = []
        self.choices: list[Choice] = []
        self.layer_axes: list[LayerAxis] = []
        self.count = 0
        self.layer = ""  # whose operator speaks

    def tensor(
        self,
        name: str,
        shape: Iterable[int | None],
        constant: tvm.ir.GenericConst | None = None,
        *,
        is_fixed: bool = False,
    ) -> Tensor:
        """A new tensor, its elements linked to none."""
        extents, first = tuple(shape), []
        for extent in extents:
            first.append(self.count)
            self.count += extent or 0
        return Tensor(name, extents, tuple(first), constant, is_fixed or constant is not None)

    def virtual(self, extent: int) -> Elements:
        """Elements of an axis that no tensor has."""
        self.count += extent
        return np.arange(self.count - extent, self.count, dtype=np.int64)

    def link(self, one: Elements, other: Elements, reason: str = "") -> None:
        """Elements that go together; where one side is not known at compile time, the other has to stay."""
        if len(one) == len(other):
            if len(one):
                self.links.append(Link(one, other, self.layer, reason))
            return
        self.pin(one, "its extent is known at run time only")
        self.pin(other, "its extent is known at run time only")

    def pin(self, elements: Elements, reason: str) -> None:
        """Elements that have to stay."""
        if len(elements):
            self.pins.append(Pin(elements, reason))

    def pin_axes(self, tensor: Tensor, reason: str, axes: Sequence[int] | None = None) -> None:
        """All elements of some axes, or of all, have to stay."""
        for axis in range(tensor.rank) if axes is None else axes:
            self.pin(tensor.elements(axis), reason)

    def link_axes(self, one: Tensor, other: Tensor, axes: Sequence[tuple[int, int]], reason: str = "") -> None:
        """Axes whose elements go together one by one."""
        for axis, other_axis in axes:
            self.link(one.elements(axis), other.elements(other_axis), reason)

    def choose(self, merged: Elements, axes: Sequence[Elements]) -> None:
        """A merged axis and those it consists of."""
        self.choices.append(Choice(self.layer, merged, tuple(axes)))
