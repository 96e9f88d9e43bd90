"""The table of operator functions: which function imports which operator, from which opset on."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from edgecompile.frontend.onnx.context import Context, Inputs, Result
    from edgecompile.frontend.onnx.node import Node

Operator: TypeAlias = "Callable[[Context, Node, Inputs], Result]"

_OPERATORS: dict[tuple[str, str], dict[int, Operator]] = {}


_HOST_ARRAYS: set[tuple[str, str]] = set()


def operator(
    *op_types: str, since: int = 1, domain: str = "", host_arrays: bool = False
) -> Callable[[Operator], Operator]:
    """Registers the decorated function for each of `op_types` from opset `since` of `domain` on.

    The function takes `(context, node, inputs)` and returns one value, or a tuple of values with one entry per output
    (None where an output is not computed). With `host_arrays` it is also given constants of dtypes that Relax cannot
    hold, as NumPy arrays.
    """

    def register(function: Operator) -> Operator:
        for op_type in op_types:
            versions = _OPERATORS.setdefault((domain, op_type), {})
            assert since not in versions, f"two functions for {domain}.{op_type} since {since}"
            versions[since] = function
            if host_arrays:
                _HOST_ARRAYS.add((domain, op_type))
        return function

    return register


def find(domain: str, op_type: str, opset: int) -> Operator | None:
    """The function of the highest `since` that is at most `opset`, or None."""
    _load()
    versions = _OPERATORS.get((domain, op_type), {})
    known = [since for since in versions if since <= opset]
    return versions[max(known)] if known else None


def takes_host_arrays(domain: str, op_type: str) -> bool:
    """True when the operator's function copes with NumPy arrays among its inputs."""
    return (domain, op_type) in _HOST_ARRAYS


def names() -> list[tuple[str, str]]:
    """All (domain, operator) pairs that have a function, sorted."""
    _load()
    return sorted(_OPERATORS)


def _load() -> None:
    """Imports every file under `operators`, once: each registers its functions as it is imported."""
    from edgecompile.frontend.onnx import operators

    if not getattr(_load, "done", False):
        for module in pkgutil.iter_modules(operators.__path__):
            importlib.import_module(f"{operators.__name__}.{module.name}")
        _load.done = True  # type: ignore[attr-defined]
