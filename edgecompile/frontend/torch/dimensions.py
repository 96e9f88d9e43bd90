"""Symbolic dimensions: PyTorch's symbols as Relax variables, named by the user and frozen where asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy  # type: ignore[import-untyped]
import torch
from torch.export import ExportedProgram
from tvm import tirx

from edgecompile.errors import InvalidModelError, UnsupportedModelError

Shape = Sequence["int | str"]


class Dimensions:
    """What each symbol of a program stands for.

    Attributes:
        bounds: the smallest and the largest value (None: no limit) of each dimension that stays symbolic, by name.
    """

    def __init__(self, program: ExportedProgram) -> None:
        self._ranges = {
            symbol: (_bound(limits.lower), _bound(limits.upper)) for symbol, limits in program.range_constraints.items()
        }
        self._names: dict[sympy.Symbol, str] = {}
        self._frozen: dict[sympy.Symbol, int] = {}
        self._variables: dict[sympy.Symbol, tirx.Var] = {}

    @property
    def bounds(self) -> dict[str, tuple[int, int | None]]:
        """See the class."""
        return {
            variable.name: (max(self._ranges.get(symbol, (1, None))[0] or 1, 1), self._ranges.get(symbol, (1, None))[1])
            for symbol, variable in self._variables.items()
        }

    def apply(self, name: str, shape: torch.Size, wanted: Shape) -> None:
        """Gives the symbols in one input's shape the names or numbers that the user wants.

        Raises:
            InvalidModelError: another rank, a number for a dimension that is fixed to another, or outside of its range.
        """
        found = ", ".join(str(dim) for dim in shape)
        if len(wanted) != len(shape):
            raise InvalidModelError(
                f"shapes: input {name} has {len(shape)} dimensions ({found}), not {len(wanted)}; give one entry for "
                "each"
            )
        for axis, (dim, want) in enumerate(zip(shape, wanted, strict=True)):
            if isinstance(dim, int):
                if want != dim:
                    raise InvalidModelError(
                        f"shapes: dimension {axis} of input {name} is fixed to {dim} by the export, not {want}; "
                        "export the "
                        "model with an example of that shape, or with a dynamic dimension"
                    )
                continue
            self._settle(name, axis, dim.node.expr, want)

    def _settle(self, name: str, axis: int, expression: sympy.Expr, want: int | str) -> None:
        if not isinstance(expression, sympy.Symbol):
            if isinstance(want, int) and expression.subs(self._frozen) != want:
                raise InvalidModelError(
                    f"shapes: dimension {axis} of input {name} is {expression}, which is not {want}; freeze its symbols"
                )
            return
        if isinstance(want, str):
            self._names[expression] = want
            return
        low, high = self._ranges.get(expression, (1, None))
        if want < max(low or 1, 1) or (high is not None and want > high):
            raise InvalidModelError(
                f"shapes: dimension {axis} of input {name} may be {max(low or 1, 1)} to "
                f"{high if high is not None else 'any'}, "
                f"not {want}; choose a size in that range"
            )
        if self._frozen.setdefault(expression, want) != want:
            raise InvalidModelError(
                f"shapes: dimension {axis} of input {name} is tied to another that is {self._frozen[expression]}, "
                f"not {want}; "
                "give both the same size"
            )

    def convert(self, shape: torch.Size) -> list[Any]:
        """The Relax shape of a PyTorch shape: integers and expressions of `tirx.Var`s."""
        return [dim if isinstance(dim, int) else self._expression(dim.node.expr) for dim in shape]

    def _expression(self, expression: sympy.Expr) -> Any:
        if isinstance(expression, sympy.Integer):
            return int(expression)
        if isinstance(expression, sympy.Symbol):
            if expression in self._frozen:
                return self._frozen[expression]
            if expression not in self._variables:
                self._variables[expression] = tirx.Var(self._names.get(expression, str(expression)), "int64")
            return self._variables[expression]
        if isinstance(expression, sympy.Add | sympy.Mul):
            terms = [self._expression(term) for term in expression.args]
            result = terms[0]
            for term in terms[1:]:
                result = result + term if isinstance(expression, sympy.Add) else result * term
            return result
        raise UnsupportedModelError(f"an input dimension is {expression}; freeze it with shapes=")


def export_dims(
    shapes: Mapping[str, Shape], names: Sequence[str | None], values: Sequence[Any]
) -> list[dict[int, Any] | None]:
    """`torch.export`'s dynamic dimensions for each flattened input, from the strings in `shapes`.

    Raises:
        InvalidModelError: an unknown input, another rank, or a number that the example input does not have.
    """
    unknown = sorted(set(shapes) - set(names))
    if unknown:
        known = ", ".join(name for name in names if name is not None)
        raise InvalidModelError(f"shapes names {', '.join(unknown)}, but the inputs are {known}; use those names")
    dims: dict[str, Any] = {}
    result: list[dict[int, Any] | None] = []
    for name, value in zip(names, values, strict=True):
        if name is None or name not in shapes:
            result.append(None)
            continue
        wanted = list(shapes[name])
        if len(wanted) != value.ndim or any(
            isinstance(w, int) and w != s for w, s in zip(wanted, value.shape, strict=True)
        ):
            raise InvalidModelError(
                f"shapes: the example of input {name} has shape {tuple(value.shape)}, not {tuple(wanted)}; give an "
                "example of "
                "the wanted shape, with a name (a string) for each dynamic dimension"
            )
        dynamic = {axis: want for axis, want in enumerate(wanted) if isinstance(want, str)}
        for want in dynamic.values():
            if not want.isidentifier():
                raise InvalidModelError(
                    f"shapes: {want!r} is no name for a dimension; use letters, digits and underscores"
                )
            dims.setdefault(want, torch.export.Dim(want))
        result.append({axis: dims[want] for axis, want in dynamic.items()})
    return result


def _bound(value: Any) -> int | None:
    """A limit as an integer; None where there is none."""
    number = int(value) if isinstance(value, int | sympy.Integer) else 2**62
    return None if abs(number) >= 2**62 else number
