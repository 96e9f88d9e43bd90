"""Which candidates become integer: those whose result something quantized reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tvm import relax

from edgecompile.compress.graph.uses import Uses
from edgecompile.compress.quantize.edges.candidates import Candidates
from edgecompile.compress.quantize.edges.kernel import end_of_kernel, is_end_of_matrix_product
from edgecompile.compress.quantize.edges.request import Reason


def needed_candidates(
    uses: Uses,
    candidates: Candidates,
    quantized: set[relax.Var],
    operands: Collection[relax.Var],
    reasons: list[Reason],
) -> list[tuple[relax.Var, Sequence[relax.Var]]]:
    """The candidates whose result something quantized reads, with what they read, in order.

    A float result, which a normalization reads say, is no use in integers: in transformers such sums have outliers
    that one scale for a tensor cannot hold. Nor are functions between two matrix products: the kernel of the first
    computes the function of exact sums, and GELU of rounded ones has cost transformers accuracy.

    Args:
        quantized: the tensors that are; what the candidates read joins them.
        operands: of the products.
        reasons: receives one for each joining operator, and for each function that becomes integer.
    """
    kept: list[tuple[relax.Var, Sequence[relax.Var]]] = []
    for variable in reversed(uses.variables):
        sources: Sequence[relax.Var]
        if variable in candidates.joins or variable in candidates.refused:
            is_read = end_of_kernel(uses, variable, is_product=False) in quantized
            if not is_read or variable in candidates.refused:
                why = candidates.refused[variable] if is_read else "nothing that reads its result is quantized"
                reasons.append(Reason(variable.name, False, why))
                continue
            sources, how = candidates.joins[variable], "int8: all that it reads is quantized"
        elif variable in candidates.functions and variable in quantized:
            argument = candidates.functions[variable]
            if variable in operands and is_end_of_matrix_product(uses, argument):
                continue
            sources, how = [argument], "int8: computed from what it reads, number by number"
        else:
            continue
        reasons.append(Reason(variable.name, True, how))
        quantized.update(sources)
        kept.append((variable, sources))
    return kept[::-1]
