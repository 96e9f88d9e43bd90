"""`masked`: a module that computes what it would without some channels, chosen by an input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tvm
from tvm import relax

from edgecompile.compress.graph.edit import edited
from edgecompile.compress.prune.channels.group import Groups
from edgecompile.compress.prune.channels.operators import (
    convolution,
    elementwise,
    joining,
    movement,
    normalization,
    pooling,
    product,
    reduction,
    reshaping,
)
from edgecompile.compress.prune.channels.rule import RULES
from edgecompile.compress.prune.channels.site import Site
from edgecompile.compress.prune.channels.tensor import Tensor

MASK = "kept_channels"
"""The name of the further input."""

# What they compute of a channel that went is nowhere else than in that channel: so it does not matter what it is.
_APART = (
    *(elementwise.link_unary, elementwise.link_broadcast, elementwise.link_prelu),
    *(normalization.link_batch_norm, normalization.link_instance_norm, normalization.link_layer_norm),
    *(normalization.link_group_norm, normalization.link_softmax),
    *(joining.link_concat, joining.link_stack, joining.link_split, joining.link_slice),
    *(movement.link_permutation, movement.link_padding, movement.link_repeat, movement.link_tile),
    *(reshaping.link_reshape, reshaping.link_flatten, reshaping.link_squeeze, reshaping.link_broadcast_to),
    *(reshaping.link_pixel_shuffle, pooling.link_pooling, reduction.link_reduction),
)


def masked(module: tvm.IRModule, groups: Groups) -> tvm.IRModule:
    """The module with zeros in the channels that go, wherever an operator adds them to others.

        conv2d(relu(x), w)  ->  conv2d(relu(x) * reshape(take(kept_channels, [0, 1, 2, ...]), [1, C, 1, 1]), w)

    Elsewhere it computes numbers in their places that nobody reads.

    Args:
        module: after import; its `main` is one dataflow block.
        groups: `find_groups` of it.

    Returns:
        It has one input more, `kept_channels` [channels of all groups + 1] float32: 0 for each channel that goes, and 1
        for the others and for the last number, which stands for what is in no group.
    """
    writer = _Writer(groups)
    values = {}
    for variable, site in groups.program.sites.items():
        arguments = writer.arguments(site)
        if arguments is not None:
            call = site.call
            values[variable] = relax.Call(call.op, arguments, call.attrs, call.ty_args)
    return edited(module, values=values, beside=writer.copies, parameters=[writer.mask])


def mask_of(groups: Groups, removed: dict[str, np.ndarray]) -> np.ndarray:
    """The further input's value, where these channels of each group go; `removed` as of `rewrite.remove`."""
    parts = []
    for group in groups:
        kept = np.ones(group.channels, np.float32)
        kept[removed.get(group.name, [])] = 0
        parts.append(kept)
    return np.concatenate([*parts, np.ones(1, np.float32)])


class _Writer:
    """Makes masked arguments.

    Attributes:
        mask: the further input.
        copies: by a variable that is read with zeros, the variable with them, and what it is bound to.
    """

    def __init__(self, groups: Groups) -> None:
        components = groups.components
        self._nothing = sum(group.channels for group in groups)
        place_of = np.full(len(components.pinned), self._nothing)
        place_of[np.concatenate([group.components for group in groups])] = np.arange(self._nothing)
        self._places = place_of[components.labels]
        self.mask = relax.Var(MASK, relax.TensorType((self._nothing + 1,), "float32"))
        self.copies: dict[relax.Var, tuple[relax.Var, relax.Expr]] = {}

    def arguments(self, site: Site) -> list[relax.Expr] | None:
        """Those of a call, with zeros; None where it may read what is there."""
        if RULES[site.operator].link in _APART:
            return None
        tensors = [site.tensors_of(index) for index in range(len(site.call.args))]
        is_fixed = all(tensor.is_fixed for part in tensors for tensor in part)
        # A product's terms are zero where one factor is: the constants stay constants where they can.
        found = [
            self._argument(argument, [part if is_fixed or not part.is_fixed else None for part in parts], site, index)
            for index, (argument, parts) in enumerate(zip(site.call.args, tensors, strict=True))
        ]
        changed = any(new is not None for new in found)
        kept = [old if new is None else new for new, old in zip(found, site.call.args, strict=True)]
        return kept if changed else None

    def _argument(
        self, argument: relax.Expr, parts: Sequence[Tensor | None], site: Site, index: int
    ) -> relax.Expr | None:
        """An argument, or the fields of one, with zeros; None where it may stay as it is."""
        mixed = [part if part is not None and self._mixes(site, index, part) else None for part in parts]
        if all(part is None for part in mixed):
            return None
        if not isinstance(argument, relax.Tuple):
            assert len(mixed) == 1 and mixed[0] is not None, f"{site.name}: {site.operator} reads a tuple as a whole"
            return self._read(argument, mixed[0])
        pairs = zip(argument.fields, mixed, strict=True)
        return relax.Tuple([field if part is None else self._read(field, part) for field, part in pairs])

    def _read(self, argument: relax.Expr, tensor: Tensor) -> relax.Expr:
        if not isinstance(argument, relax.Var):
            return self._multiplied(argument, tensor)
        if argument not in self.copies:
            self.copies[argument] = (
                relax.Var(f"{argument.name}_kept", argument.ty),
                self._multiplied(argument, tensor),
            )
        return self.copies[argument][0]

    def _mixes(self, site: Site, index: int, tensor: Tensor) -> bool:
        """True where a call adds channels of a group to others in this argument; operators not known here may."""
        axes = set(self._axes(tensor))
        link = RULES[site.operator].link
        if link in (convolution.link_convolution, convolution.link_transposed_convolution):
            return bool(axes & {1})
        if link is product.link_product:
            return bool(axes & {tensor.rank - 1 if index == 0 else max(tensor.rank - 2, 0)})
        return bool(axes)

    def _axes(self, tensor: Tensor) -> Sequence[int]:
        """Those with channels of a group."""
        return [axis for axis in range(tensor.rank) if (self._of(tensor, axis) != self._nothing).any()]

    def _of(self, tensor: Tensor, axis: int) -> np.ndarray:
        found: np.ndarray = self._places[tensor.elements(axis)]
        return found

    def _multiplied(self, value: relax.Expr, tensor: Tensor) -> relax.Expr:
        dtype = str(value.ty.dtype)
        for axis in self._axes(tensor):
            places = self._of(tensor, axis)
            shape = [len(places) if other == axis else 1 for other in range(tensor.rank)]
            factors = relax.op.reshape(relax.op.take(self.mask, relax.const(places, "int64"), 0, "clip"), shape)
            if dtype != "float32":
                factors = relax.op.astype(factors, dtype)
            value = relax.op.multiply(value, factors)
        return value
