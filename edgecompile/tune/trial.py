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

        Its parameters are the operands that are computed at run time, the constants, a bias along the result's last
        axis, and the result. Most layers have a bias and an activation, and writing them back takes registers and time.
        """
        from tvm import te, tirx

        shapes = (*self.workload.operands, *constants)
        sources = [
            te.placeholder([tirx.IntImm("int64", extent) for extent in shape], name=f"x{at}")
            for at, shape in enumerate(shapes)
        ]
        result = self.way.compute(*sources)
        bias = te.placeholder([result.shape[-1]], name="bias")
        total = te.compute(result.shape, lambda *i: result(*i) + bias(i[-1]), name="add")
        final = te.compute(result.shape, lambda *i: tirx.max(total(*i), tirx.const(0.0, "float32")), name="relu")
        function = te.create_prim_func([*sources, bias, final]).without_attr("global_symbol")
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
