"""`fingerprint`: whether a calibration table belongs to a model."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvm import relax

    from edgecompile.frontend.model import Model


def fingerprint(model: Model) -> str:
    """32 hexadecimal digits over the variables of `main`: their names, shapes and dtypes, operators and arguments.

    The values of weights are left out: it costs milliseconds for any model, is the same in every process, and stays the
    same when weights are rounded or corrected otherwise, which leaves the names that a table speaks of as they are.
    """
    from edgecompile.compress.graph.variables import bindings_of

    digest = hashlib.sha256()
    main = model.module["main"]
    for parameter in main.params:
        digest.update(f"{parameter.name}: {parameter.ty}\n".encode())
    for binding in bindings_of(main):
        digest.update(f"{binding.var.name}: {binding.var.ty} = {_text(binding.value)}\n".encode())
    return digest.hexdigest()[:32]


def _text(value: relax.Expr) -> str:
    import tvm
    from tvm import relax

    if isinstance(value, relax.Var):
        return str(value.name)
    if isinstance(value, tvm.ir.GenericConst):
        return f"constant {value.ty}"
    if isinstance(value, relax.Tuple):
        return f"({', '.join(map(_text, value.fields))})"
    if isinstance(value, relax.TupleGetItem):
        return f"{_text(value.tuple_value)}[{value.index}]"
    if isinstance(value, relax.Call):
        operator = getattr(value.op, "name", None) or getattr(value.op, "name_hint", type(value.op).__name__)
        return f"{operator}({', '.join(map(_text, value.args))}) {value.attrs}"
    return type(value).__name__ if isinstance(value, (relax.Function, relax.If)) else str(value)
