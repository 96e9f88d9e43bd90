"""Where a new `main` is built: it knows each tensor in the layouts that it has so far, and converts on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import tvm
from tvm import relax
from tvm_ffi.structural import structural_mutate

from edgecompile.passes.annotate_elementwise import ELEMENTWISE
from edgecompile.passes.layouts.blocked_tensors import blocked_shape, from_blocks, is_reshape, to_blocks
from edgecompile.passes.layouts.tensor_shapes import blockable_shape
from edgecompile.passes.layouts.way import PLAIN, Layout
from edgecompile.plan.static_program import AT_LOAD
from edgecompile.storage.insert_weights import pays
from edgecompile.storage.kept import keep
from edgecompile.storage.operators import decode, is_decode, stored_weight
from edgecompile.storage.stored_weight import SparseWeight

if TYPE_CHECKING:
    from tvm import te

    from edgecompile.implementation import Implementation, PackingAtLoad

# OpPatternKind: it joins another kernel and others join it; it moves elements; others join behind it; nothing joins.
_BROADCAST, _INJECTIVE, _ELEMENTWISE_OUTPUT, _OPAQUE = 1, 2, 4, 8


class Workshop:
    """Emits bindings, conversions and kernels.

    Attributes:
        conversions: how many kernels that only convert were emitted; where a reshape does, it does not count.
        layer: the name of the binding that is built now.
    """

    def __init__(self, builder: relax.BlockBuilder) -> None:
        self.builder = builder
        self.conversions = 0
        self.layer = ""
        self._known: dict[relax.Var, dict[Layout, relax.Expr]] = {}

    def add(self, variable: relax.Var, layout: Layout, value: relax.Expr) -> None:
        """Make a variable of the old `main` known."""
        self._known[variable] = {layout: value}

    def read(self, variable: relax.Var, layout: Layout) -> relax.Expr:
        """The tensor in that layout; it is converted once, where it is first needed."""
        known = self._known[variable]
        if layout not in known:
            known[layout] = self._to_plain(variable, *known) if layout == PLAIN else self._to_blocks(variable, layout)
        return known[layout]

    def substituted(self, value: relax.Expr) -> relax.Expr:
        """`value` with the new plain tensors in place of the old variables."""

        def on_variable(variable: tvm.ir.Var, mutator: Any) -> relax.Expr:
            del mutator
            return self.read(variable, PLAIN) if variable in self._known else variable

        return structural_mutate(value, ((tvm.ir.Var, on_variable),))

    def template(self, name: str, formula: Callable[..., te.Tensor], arguments: Sequence[relax.Expr]) -> relax.Call:
        """A call of a template's formula; elementwise operators may join behind it."""
        return self._kernel(name, _ELEMENTWISE_OUTPUT, formula, arguments)

    def elementwise(self, name: str, formula: Callable[..., te.Tensor], arguments: Sequence[relax.Expr]) -> relax.Call:
        """A call of a formula that may join the kernel before it."""
        return self._kernel(name, _BROADCAST, formula, arguments, {ELEMENTWISE: 1})

    def broadcast(self, name: str, formula: Callable[..., te.Tensor], arguments: Sequence[relax.Expr]) -> relax.Call:
        """The same, of a formula that reads some elements several times."""
        return self._kernel(name, _BROADCAST, formula, arguments)

    def movement(self, name: str, formula: Callable[..., te.Tensor], arguments: Sequence[relax.Expr]) -> relax.Call:
        """A call of a formula that reads each element in another place; elementwise operators before it may join."""
        return self._kernel(name, _INJECTIVE, formula, arguments)

    def packed(
        self,
        weight: relax.Expr,
        offer: Implementation,
        turned: Callable[[np.ndarray], np.ndarray] = lambda array: array,
    ) -> list[relax.Expr]:
        """What the kernel of an implementation reads in a known weight's place.

        Of a stored weight the codes are packed, and stay codes.

        Args:
            turned: makes what `offer.pack` takes of the weight as its operator takes it, by moving elements.
        """
        if not is_decode(weight):
            return [_constant(array) for array in offer.pack(turned(weight.value.numpy()))]
        if offer.pack_stored is not None:
            return [_constant(array) for array in offer.pack_stored(stored_weight(weight))]
        stored = stored_weight(weight)
        move = offer.at_load.move if offer.at_load else lambda array: _only(offer.pack(array))
        decoded = self.emit(decode(stored.moved(lambda array: move(turned(array)))), f"{self.layer}_stored")
        if offer.at_load is None:
            return [decoded]
        others = offer.at_load.others(turned(stored.decode()))
        return [self._packed_at_load(decoded, offer.at_load), *map(_constant, others)]

    def packed_integers(
        self, weight: np.ndarray, bias: np.ndarray, offer: Implementation
    ) -> tuple[relax.Expr, list[relax.Expr]]:
        """The packed weight, now or at load, and what the kernel reads behind it; sums begin with the bias too.

        Args:
            weight: `[K, C / groups, KH, KW]`.
            bias: `[K]` int32.
        """
        if offer.at_load is None:
            packed, *others = offer.pack(weight)
            first = self.moved_integers(weight, packed)
        else:
            others = [*offer.at_load.others(weight)]
            moved = offer.at_load.move(weight)
            kept = self.moved_integers(weight, moved)
            if not isinstance(kept, relax.Var):
                kept = self.emit(keep(moved), f"{self.layer}_stored")
            first = self._packed_at_load(kept, offer.at_load)
        start, *rest = others
        biased = start.copy()
        biased[..., : bias.size] += bias
        return first, [_constant(array) for array in (biased, *rest)]

    def moved_integers(self, weight: np.ndarray, moved: np.ndarray) -> relax.Expr:
        """An array that has the elements of an integer weight, in other places or others computed of them.

        Returns:
            A constant; where most elements of an int8 weight are zero, what is decoded of the others at load.
        """
        if weight.dtype != np.int8 or moved.dtype != np.int8 or not pays(SparseWeight.of(weight)):
            return _constant(moved)
        return self.emit(decode(SparseWeight.of(moved)), f"{self.layer}_stored")

    def _packed_at_load(self, weight: relax.Var, packing: PackingAtLoad) -> relax.Var:
        arguments = [weight, *map(_constant, packing.tables)]
        packed = self._kernel("pack", _OPAQUE, packing.compute, arguments, {AT_LOAD: 1})
        return self.emit(packed, f"{self.layer}_packed")

    def emit(self, value: relax.Expr, name: str) -> relax.Var:
        """Bind a value."""
        return self.builder.emit(value, name_hint=name)

    def _to_plain(self, variable: relax.Var, block: int) -> relax.Var:
        shape = blockable_shape(variable)
        assert shape is not None
        name, blocked = f"{variable.name}_plain", self._known[variable][block]
        if is_reshape(shape, block):
            return self.emit(relax.op.reshape(blocked, shape), name)
        return self._converted("from_blocks", from_blocks, blocked, name)

    def _to_blocks(self, variable: relax.Var, block: int) -> relax.Var:
        shape = blockable_shape(variable)
        assert shape is not None
        name, plain = f"{variable.name}_blocked", self.read(variable, PLAIN)
        if is_reshape(shape, block):
            return self.emit(relax.op.reshape(plain, blocked_shape(shape, block)), name)
        return self._converted("to_blocks", lambda x: to_blocks(x, block), plain, name)

    def _converted(self, kernel: str, formula: Callable[..., te.Tensor], value: relax.Expr, name: str) -> relax.Var:
        self.conversions += 1
        return self.emit(self._kernel(kernel, _OPAQUE, formula, [value]), name)

    def _kernel(
        self,
        name: str,
        pattern: int,
        formula: Callable[..., te.Tensor],
        arguments: Sequence[relax.Expr],
        attributes: Mapping[str, int] = MappingProxyType({}),
    ) -> relax.Call:
        """A call of the formula's loops; equal loops are one function."""
        builder = relax.BlockBuilder()
        call = builder.call_te(formula, *arguments, primfunc_name_hint=name)
        function = builder.get()[call.args[0]].with_attr({"op_pattern": pattern, **attributes})
        return relax.call_tir(self.builder.add_func(function, name), call.args[1], call.ty_args[0])


def _constant(array: np.ndarray) -> relax.Expr:
    return relax.const(array, str(array.dtype))


def _only(arrays: Sequence[np.ndarray]) -> np.ndarray:
    (array,) = arrays
    return array
