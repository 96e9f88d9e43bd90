"""Rows of a stored table: decoded where they are gathered, so that the table never is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvm import relax


def embedding_legalizations() -> dict[str, Callable[[relax.BlockBuilder, relax.Call], relax.Expr]]:
    """Operator -> legalisation, for `LegalizeOps`. Ours of `take`:

        take(decode(constants), rows, axis=0, mode="clip")   ->   call_tir(kernel, constants, rows)

    Any other `take` becomes what TVM makes of it.
    """
    return {"relax.take": _legalize_take}


def _legalize_take(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    from edgecompile.storage.formulas import formula_of
    from edgecompile.storage.operators import attributes

    table = _stored_table(builder, call)
    if table is None:
        return call.op.get_attr("FLegalize")(builder, call)
    return builder.call_te(formula_of(attributes(table)), *table.args, call.args[1], primfunc_name_hint="take")


def _stored_table(builder: relax.BlockBuilder, call: relax.Call) -> relax.Call | None:
    """The call of `decode` whose rows a `take` answers; None for any other, and where rows cannot be decoded alone."""
    from tvm import relax

    from edgecompile.storage.operators import SPARSE, attributes, is_decode

    table = call.args[0]
    value = builder.lookup_binding(table) if isinstance(table, relax.Var) else table
    is_rows = call.attrs.axis is not None and int(call.attrs.axis) == 0 and str(call.attrs.mode) == "clip"
    if not is_rows or value is None or not is_decode(value):
        return None
    return None if attributes(value).method == SPARSE else value
