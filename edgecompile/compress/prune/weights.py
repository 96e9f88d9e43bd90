"""`Weights`: the constants of a program, as its layers read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgecompile.compress.prune.channels.group import Member
from edgecompile.compress.prune.channels.linker import LayerAxis
from edgecompile.compress.prune.channels.site import Site
from edgecompile.compress.prune.channels.tensor import Tensor
from edgecompile.compress.prune.channels.trace import Program

if TYPE_CHECKING:
    import tvm

_RESHAPES = ("reshape", "expand_dims", "squeeze", "flatten", "nn.batch_flatten")
_EXCHANGED = ("float16", "float32", "float64")


class Weights:
    """Looks through what only moves numbers between a constant and the layer that reads it.

    Args:
        program: `trace` of a module.
        instead: other numbers for some constants, of the same shapes; a gradient takes its constant's way.
    """

    def __init__(self, program: Program, instead: Mapping[Tensor, np.ndarray] | None = None) -> None:
        self._instead = instead or {}
        self._sites = {tensor: site for site in program.sites.values() for tensor in site.outputs[:1]}

    def of(self, axis: LayerAxis) -> np.ndarray | None:
        """The weight that has the axis; None where it is computed, not only moved."""
        return self._array(axis.tensor)

    def slices(self, member: Member) -> np.ndarray | None:
        """[channels, n]: what each channel of a group has of a weight; None as of `of`."""
        weight = self.of(member.axis)
        if weight is None:
            return None
        return np.moveaxis(weight, member.axis.axis, 0)[member.indices].reshape(len(member.indices), -1)

    def _array(self, tensor: Tensor) -> np.ndarray | None:
        if tensor in self._instead:
            return self._instead[tensor]
        if tensor.constant is not None:
            return _view(tensor.constant)
        site = self._sites.get(tensor)
        source = self._array(site.argument(0)) if site is not None and tensor.is_fixed else None
        return None if site is None or source is None else _moved(source, site)


def _view(constant: tvm.ir.GenericConst) -> np.ndarray:
    """Its numbers, not copied where NumPy knows their type itself."""
    is_known = str(constant.value.dtype) in _EXCHANGED
    return np.from_dlpack(constant.value) if is_known else constant.value.numpy()


def _moved(array: np.ndarray, site: Site) -> np.ndarray | None:
    if site.operator in _RESHAPES:
        return array.reshape([extent or 0 for extent in site.output.shape])
    if site.operator == "permute_dims":
        axes = site.call.attrs.axes
        return array.transpose(None if axes is None else [int(axis) for axis in axes])
    if site.operator == "astype":
        # Stored in fewer bits; the criteria compute in their own.
        return array
    return None
