"""`Costs`: what a module costs without some channels, known without building it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecompile.compress.graph.variables import bindings_of
from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.channels.kept import Kept
from edgecompile.compress.prune.channels.tensor import Elements, Tensor
from edgecompile.compress.prune.channels.trace import Program
from edgecompile.layers import constants_of, layers_of

if TYPE_CHECKING:
    import tvm

Counts = npt.NDArray[np.int64]
"""[groups], a number of channels of each group, in the order of `Groups`."""


class Cost(NamedTuple):
    """What a module takes, as `Model.macs`, `Model.params` and `Model.weight_bytes` count it."""

    macs: int
    params: int
    weight_bytes: int


class Costs:
    """The costs of a module as a function of what stays of it.

    Multiply-accumulates of a layer and the size of a constant are products of extents of axes, and the extent of an
    axis is linear in the channels that stay of each group, so thousands of choices are priced in a second.

    Args:
        module: whose costs they are.
        groups: `find_groups` of the module.
    """

    def __init__(self, module: tvm.IRModule, groups: Groups) -> None:
        self.channels: Counts = np.array([group.channels for group in groups], np.int64)
        self._axes = _Axes()
        constants = list(dict.fromkeys(groups.program.constants.values()))
        products, self._other_macs = self._products(module, groups.program)
        self._products_of = _table(products)
        self._sizes_of = _table([[self._axes.number(t, axis) for axis in range(t.rank)] for t in constants])
        self._bytes_of = np.array([_element_bytes(tensor) for tensor in constants], np.int64)
        self._runs = self._axes.runs()
        self._extents = _with_one(self._runs[:, 1] - self._runs[:, 0])
        self._per_channel = self._elements_per_channel(groups)
        self._whole_sizes = self._extents[self._sizes_of].prod(axis=1)
        self._shared = _shared(module, groups.program, constants)
        # What no rule knows, as it is; less than nothing where several readers have tensors of one constant.
        known = constants_of(module)
        self._other_params = sum(found.elements for found in known) - int(self._whole_sizes.sum())
        self._other_bytes = sum(found.bytes for found in known) - int(self._whole_sizes @ self._bytes_of)

    @property
    def whole(self) -> Cost:
        """Of the module as it is."""
        return self._cost(self._extents)

    def of(self, kept: Kept) -> Cost:
        """What the module costs of which only some elements stay."""
        return self._cost(_with_one(kept.counts(self._runs[:, 0], self._runs[:, 1])))

    def of_counts(self, counts: Counts) -> Cost:
        """What it costs where so many channels of each group stay; which ones makes no difference."""
        return self._cost(self._extents - self._per_channel @ (self.channels - counts))

    def _cost(self, extents: Counts) -> Cost:
        sizes = extents[self._sizes_of].prod(axis=1)
        macs = int(extents[self._products_of].prod(axis=1).sum())
        params, weight_bytes = int(sizes.sum()), int(sizes @ self._bytes_of)
        for shared in self._shared:
            changed = int((sizes[shared.tensors] != self._whole_sizes[shared.tensors]).sum())
            copies = changed - (changed == len(shared.tensors) and not shared.stays)
            size = int(self._whole_sizes[shared.tensors[0]])
            params += copies * size
            weight_bytes += copies * size * int(self._bytes_of[shared.tensors[0]])
        return Cost(macs + self._other_macs, params + self._other_params, weight_bytes + self._other_bytes)

    def _products(self, module: tvm.IRModule, program: Program) -> tuple[list[list[int]], int]:
        """The axes whose product is a layer's multiply-accumulates, for each layer, and the sum of all others."""
        from tvm import relax

        calls = [found.var for found in bindings_of(module["main"]) if isinstance(found.value, relax.Call)]
        products, others = [], 0
        for variable, layer in zip(calls, layers_of(module), strict=True):
            site = program.sites.get(variable)
            if site is None or not layer.macs:
                others += layer.macs
                continue
            data, weight, output = site.argument(0), site.argument(1), site.output
            base = data if site.operator.endswith("_transpose") else output
            axes = [self._axes.number(base, axis) for axis in range(base.rank)]
            if site.operator == "matmul":
                axes.append(self._axes.number(data, data.rank - 1))
            else:
                axes += [self._axes.number(weight, axis) for axis in range(1, weight.rank)]
            products.append(axes)
        return products, others

    def _elements_per_channel(self, groups: Groups) -> Counts:
        """[axes, groups], how many elements of each axis are one channel of each group."""
        group_of = np.full(len(groups.components.pinned), -1)
        group_of[[group.components[0] for group in groups]] = np.arange(len(groups))
        found = np.zeros((len(self._extents), len(groups)), np.int64)
        for axis, (begin, end) in enumerate(self._runs.tolist(), start=1):
            members = group_of[groups.components.labels[begin:end]]
            np.add.at(found[axis], members[members >= 0], 1)
        return found


class _Axes:
    """Numbers for axes, by the elements that they have; 0 is for an axis of one element."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}

    def number(self, tensor: Tensor, axis: int) -> int:
        begin, extent = tensor.first[axis], tensor.shape[axis]
        assert extent is not None, f"the shape of {tensor.name} is known"
        return self._numbers.setdefault((begin, begin + extent), len(self._numbers) + 1)

    def runs(self) -> Elements:
        """[axes, 2], the first element of each and the one behind the last."""
        return np.array(list(self._numbers), np.int64).reshape(-1, 2)


class _Shared(NamedTuple):
    """Tensors that are one constant as long as they are whole, and whether something else reads it."""

    tensors: Elements
    stays: bool


def _shared(module: tvm.IRModule, program: Program, constants: Sequence[Tensor]) -> list[_Shared]:
    others = set(_unknown_constants(module, program))
    readers: dict[int, list[int]] = defaultdict(list)
    for index, tensor in enumerate(constants):
        assert tensor.constant is not None
        readers[tensor.constant.value.data_ptr()].append(index)
    return [
        _Shared(np.array(found, np.int64), pointer in others)
        for pointer, found in readers.items()
        if len(found) > 1 or pointer in others
    ]


def _unknown_constants(module: tvm.IRModule, program: Program) -> Iterator[int]:
    """Addresses of what operators without a rule read."""
    import tvm
    from tvm_ffi.structural import structural_walk

    known = {variable for variable, _ in program.constants}
    found: list[int] = []
    for binding in bindings_of(module["main"]):
        if binding.var not in known:
            structural_walk(binding.value, (tvm.ir.GenericConst, lambda c: found.append(c.value.data_ptr())))
    yield from found


def _table(products: Sequence[Sequence[int]]) -> Elements:
    """[products, factors], filled up with the axis of one element."""
    width = max((len(axes) for axes in products), default=0)
    return np.array([[*axes, *[0] * (width - len(axes))] for axes in products], np.int64).reshape(-1, width)


def _with_one(extents: Elements) -> Elements:
    return np.concatenate([[1], extents]).astype(np.int64)


def _element_bytes(tensor: Tensor) -> int:
    assert tensor.constant is not None
    return -(-int(tensor.constant.value.dtype.bits) // 8)
