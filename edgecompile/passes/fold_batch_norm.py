"""Fold batch normalisation with known statistics into the layer before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision

if TYPE_CHECKING:
    import tvm


@dataclass(frozen=True)
class FoldBatchNorm:
    """Scale the weights of a convolution or matrix product instead of its result.

        batch_norm(conv(x, w) + b)[0]   ->   conv(x, w * s) + ((b - mean) * s + beta),
                                             s = gamma / sqrt(variance + epsilon)

    `s` is computed in float64. Where there is no such layer, or another reader needs its result, the normalisation
    becomes one multiplication and one addition by constants. A batch norm in training mode, or with unknown statistics,
    is left alone.
    """

    name: str = "FoldBatchNorm"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        import tvm

        from edgecompile.passes.batch_norm_rewriter import BatchNormRewriter

        main = module["main"]
        rewriter = BatchNormRewriter(module, main, self.name, decisions)
        functions = dict(module.functions_items())
        functions[module.get_global_var("main")] = rewriter.visit_expr(main)
        return tvm.IRModule(functions, attrs=module.attrs)
