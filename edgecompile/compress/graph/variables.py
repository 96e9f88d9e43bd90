"""The tensors of a model that calibration can watch, by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgecompile.errors import InvalidModelError

if TYPE_CHECKING:
    from tvm import relax

    from edgecompile.frontend.model import Model


def bindings_of(main: relax.Function) -> Iterator[relax.Binding]:
    """The bindings of a function, in order."""
    from tvm import relax

    if isinstance(main.body, relax.SeqExpr):
        for block in main.body.blocks:
            yield from block.bindings


def float_variables(model: Model) -> dict[str, relax.Var]:
    """The float32 tensors of `main` that depend on its inputs, the inputs among them, by name, in order of execution.

    What only constants feed is left out: its range needs no data.

    Raises:
        InvalidModelError: two variables share a name, so that a table could not tell them apart.
    """
    main = model.module["main"]
    fed = set(main.params)
    found = [parameter for parameter in main.params if _is_float_tensor(parameter)]
    for binding in bindings_of(main):
        if fed.isdisjoint(_read(binding.value)):
            continue
        fed.add(binding.var)
        if _is_float_tensor(binding.var):
            found.append(binding.var)
    twice = [name for name, count in Counter(variable.name for variable in found).items() if count > 1]
    if twice:
        raise InvalidModelError(
            f"calibration needs variables with different names, but {model.name!r} has several named {twice[0]!r}"
        )
    return {variable.name: variable for variable in found}


def _read(value: relax.Expr) -> set[relax.Var]:
    from tvm import relax
    from tvm_ffi.structural import structural_walk

    found: set[relax.Var] = set()
    structural_walk(value, (relax.Var, found.add))
    return found


def _is_float_tensor(variable: relax.Var) -> bool:
    from tvm import relax

    return isinstance(variable.ty, relax.TensorType) and str(variable.ty.dtype) == "float32"
