"""Operators -> loops over tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision

if TYPE_CHECKING:
    import tvm


@dataclass(frozen=True)
class LegalizeOperators:
    """Replace every Relax operator by a `call_tir` of its loops.

    The legalisations are TVM's, and ours where those are wrong or call TVM's runtime.
    """

    name: str = "LegalizeOperators"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        from tvm.relax import transform

        from edgecompile.passes.legalize_clipping import clipping_legalizations
        from edgecompile.passes.legalize_comparisons import comparison_legalizations
        from edgecompile.passes.legalize_embeddings import embedding_legalizations
        from edgecompile.passes.legalize_joins import joining_legalizations
        from edgecompile.passes.legalize_normalization import normalization_legalizations
        from edgecompile.passes.legalize_quantization import quantization_legalizations
        from edgecompile.passes.legalize_sorting import sorting_legalizations

        del decisions  # every operator is replaced; those that cannot be are reported by `why_not_static`
        ours = {
            **clipping_legalizations(),
            **comparison_legalizations(),
            **embedding_legalizations(),
            **joining_legalizations(),
            **normalization_legalizations(),
            **quantization_legalizations(),
            **sorting_legalizations(),
        }
        return transform.LegalizeOps(ours)(module)
