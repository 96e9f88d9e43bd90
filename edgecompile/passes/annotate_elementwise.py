"""Tell fusion which kernels are elementwise though its own analysis cannot see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision

if TYPE_CHECKING:
    import tvm

ELEMENTWISE = "edgecompile.elementwise"
"""An attribute of kernels that compute each element from the same element of each tensor, and from tables."""

_KIND = 0  # OpPatternKind kElemWise


@dataclass(frozen=True)
class AnnotateElementwise:
    """`op_pattern` of kernels with the attribute `ELEMENTWISE` -> elementwise.

    TVM's analysis takes a kernel that reads a table of channels for a broadcast, and `FuseOps` joins broadcasts only to
    kernels of their own dtype: requantization, from int32 to int8, would never join a convolution. It stands behind
    `AnnotateTIROpPattern`, which overwrites this very number.
    """

    name: str = "AnnotateElementwise"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        import tvm

        del decisions
        result = tvm.IRModule(dict(module.functions_items()), attrs=module.attrs)
        for variable, function in module.functions_items():
            if isinstance(function, tvm.tirx.PrimFunc) and ELEMENTWISE in (function.attrs or {}):
                result[variable] = function.with_attr("op_pattern", _KIND)
        return result
