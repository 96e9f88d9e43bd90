"""`edgecompile.keep`, the Relax operator in front of a constant that is packed when a network is opened.

    packed = call_tir(pack, (edgecompile.keep(constant), ...))

`FoldConstant` would compute the kernel, and store what it answers, several times as many bytes. It does not see through
this operator, which has no loops; `DecodeWeights` takes it away when folding is over.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import tvm
from tvm import relax

if TYPE_CHECKING:
    import numpy as np

KEEP = "edgecompile.keep"


def keep(array: np.ndarray) -> relax.Call:
    """The call that stands for a constant."""
    _register()
    call = relax.Call(tvm.ir.Op.get(KEEP), [relax.const(array, array.dtype.name)])
    return relax.BlockBuilder().normalize(call)


def is_kept(value: relax.Expr) -> bool:
    """True for such a call."""
    return isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.Op) and value.op.name == KEEP


@functools.cache
def _register() -> None:
    tvm.ir.register_op_attr(KEEP, "FInferType", lambda call, builder: call.args[0].ty)
    tvm.ir.register_op_attr(KEEP, "FPurity", True)
