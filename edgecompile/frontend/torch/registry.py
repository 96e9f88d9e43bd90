"""The table from ATen overloads to the functions that turn them into Relax."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecompile.frontend.torch.context import Arguments, Context

Converter = Callable[["Context", "Arguments"], Any]

CONVERTERS: dict[str, Converter] = {}


def converter(*overloads: str) -> Callable[[Converter], Converter]:
    """Registers a function for ATen overloads, each named as in `aten.<name>.<overload>` without the prefix.

    The function receives the context and the node's arguments by their schema names, and returns a Relax expression, or
    a tuple of them for an operator with several results.
    """

    def register(function: Converter) -> Converter:
        for overload in overloads:
            assert overload not in CONVERTERS, overload
            CONVERTERS[overload] = function
        return function

    return register
