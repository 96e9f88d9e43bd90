"""`Site`: one call of an operator, as the rules of pruning see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.compress.prune.channels.linker import LayerAxis, Linker
from edgecompile.compress.prune.channels.tensor import Tensor

if TYPE_CHECKING:
    from tvm import relax, tirx


@dataclass(frozen=True)
class Site:
    """A call, its tensors, and the linker to tell what it does to them.

    Attributes:
        name: of the variable that it defines.
        operator: of Relax, without its prefix.
        call: with constants and variables as arguments.
        outputs: its result, or the fields of a tuple.
        linker: to which a rule tells.
        tensors_of: the tensors of an argument: one, or those of a tuple.
    """

    name: str
    operator: str
    call: relax.Call
    outputs: Sequence[Tensor]
    linker: Linker
    tensors_of: Callable[[int], Sequence[Tensor]]

    @property
    def output(self) -> Tensor:
        """Its only result, or the first."""
        return self.outputs[0]

    def argument(self, index: int) -> Tensor:
        """The tensor that is one argument."""
        return self.tensors_of(index)[0]

    def argument_extents(self, index: int) -> Sequence[tirx.Expr]:
        """The shape of an argument, with names for what is known at run time only."""
        found: Sequence[tirx.Expr] = self.call.args[index].ty.shape.values
        return found

    def output_extents(self) -> Sequence[tirx.Expr]:
        """The shape of the only result, likewise."""
        found: Sequence[tirx.Expr] = self.call.ty.shape.values
        return found

    @staticmethod
    def is_equal(one: tirx.Expr, other: tirx.Expr) -> bool:
        """True where two extents are certainly the same."""
        from tvm_ffi.structural import structural_equal

        return bool(structural_equal(one, other))

    def note(self, index: int, axis: int, operand: str, side: str) -> None:
        """Tell that an axis of an argument belongs to a layer's weights, if it is fixed."""
        self.note_tensor(self.argument(index), axis, operand, side)

    def note_tensor(self, tensor: Tensor, axis: int, operand: str, side: str) -> None:
        """The same of a tensor, such as one of a tuple."""
        if not tensor.is_fixed:
            return
        axis %= tensor.rank
        self.linker.layer_axes.append(LayerAxis(self.name, self.operator, operand, side, tensor, axis))

    def refuse(self, reason: str) -> None:
        """All tensors of the call have to stay as they are."""
        for index in range(len(self.call.args)):
            for tensor in self.tensors_of(index):
                self.linker.pin_axes(tensor, reason)
        for tensor in self.outputs:
            self.linker.pin_axes(tensor, reason)
