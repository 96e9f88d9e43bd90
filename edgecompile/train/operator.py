"""The registry of what PyTorch computes for an operator of Relax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from edgecompile.errors import UnsupportedModelError

if TYPE_CHECKING:
    from tvm import relax

Operator: TypeAlias = "Callable[[relax.Call, Sequence[Any]], Any]"
"""(call, arguments) -> tensor, or a tuple of tensors. Arguments are tensors, numbers, and tuples of these; a shape is a
tuple of integers."""

OPERATORS: dict[str, Operator] = {}
"""By the name of the operator in Relax, without its prefix."""


def operator(*names: str) -> Callable[[Operator], Operator]:
    """Register the function that computes some operators."""

    def register(function: Operator) -> Operator:
        for name in names:
            OPERATORS[name] = function
        return function

    return register


def name_of(call: relax.Call) -> str:
    """The name of the operator, without its prefix; of a function, its name."""
    return str(getattr(call.op, "name", call.op)).removeprefix("relax.")


def refused(call: relax.Call, found: str) -> UnsupportedModelError:
    """The error for what an operator has that is not computed here."""
    return UnsupportedModelError(
        f"gradients need operators with a definition in PyTorch, found {name_of(call)} {found}"
    )


def integers(values: Sequence[Any]) -> list[int]:
    """Of an attribute."""
    return [int(value) for value in values]
