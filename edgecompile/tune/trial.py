"""`Trial`: one way to compute one workload, as a kernel of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgecompile.implementation import Implementation
from edgecompile.tune.workload import Shape, Workload

if TYPE_CHECKING:
    import tvm

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Trial:
    """What is measured.

    Attributes:
        symbol: of the kernel.
    """

    symbol: str
    workload: Workload
    way: Implementation

    def constants(self) -> list[np.ndarray]:
        """What the way packs at compile time, of weights that are all alike: their values cost nothing."""
        if self.workload.weight is None:
            return []
        return list(self.way.pack(np.full(self.workload.weight, 0.5, np.float32)))

    def kernel(self, constants: list[Shape]) -> tuple[tvm.tirx.PrimFunc, Shape]:
        """The formula as TIR, and the shape of its result.

        Its parameters are the operands that are computed at run time, the constants and the result. It has no epilogue:
        what is fused behind a layer costs all ways alike.
        """
        from tvm import te, tirx

        shapes = (*self.workload.operands, *constants)
        sources = [
            te.placeholder([tirx.IntImm("int64", extent) for extent in shape], name=f"x{at}")
            for at, shape in enumerate(shapes)
        ]
        result = self.way.compute(*sources)
        function = te.create_prim_func([*sources, result]).without_attr("global_symbol")
        return function.with_attr("tirx.noalias", True), tuple(int(extent) for extent in result.shape)


def fill_kernel(elements: int) -> tvm.tirx.PrimFunc:
    """Writes a tensor, so that it lies in the caches as if another layer had just made it."""
    from tvm import te, tirx

    value = tirx.const(0.5, "float32")
    made = te.compute([tirx.IntImm("int64", elements)], lambda i: value + tirx.Cast("float32", i) * 0, name="fill")
    return te.create_prim_func([made]).without_attr("global_symbol").with_attr("tirx.noalias", True)


def size_bytes(shape: Shape) -> int:
    """Of a dense float32 tensor."""
    return math.prod(shape) * FLOAT_BYTES
