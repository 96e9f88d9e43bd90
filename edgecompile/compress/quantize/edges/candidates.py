"""`Candidates`: what could be computed between integer tensors, whoever reads it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tvm import relax

from edgecompile.compress.graph.uses import Uses
from edgecompile.compress.quantize.edges.functions import integer_argument
from edgecompile.compress.quantize.edges.joins import joined_tensors
from edgecompile.compress.quantize.edges.kernel import end_of_kernel, source_of


@dataclass(frozen=True)
class Candidates:
    """By the variable of their result.

    Attributes:
        functions: of one number, with their arguments.
        joins: operators between tensors, with those.
        refused: joining operators, with the reason.
    """

    functions: Mapping[relax.Var, relax.Var]
    joins: Mapping[relax.Var, Sequence[relax.Var]]
    refused: Mapping[relax.Var, str]

    @staticmethod
    def of(
        uses: Uses, ranges: Collection[str], products: Sequence[relax.Var], quantized: Collection[relax.Var]
    ) -> Candidates:
        """All of a `main`.

        Args:
            ranges: the names of the tensors whose ranges are known.
            products: that read what calibration knows.
            quantized: what those read.
        """
        kernel_ends = {end_of_kernel(uses, product, is_product=True) for product in products}
        integers = {*kernel_ends, *quantized}
        functions: dict[relax.Var, relax.Var] = {}
        joins: dict[relax.Var, Sequence[relax.Var]] = {}
        refused: dict[relax.Var, str] = {}
        for variable in uses.variables:  # in order: a join may feed another
            argument = None if variable in kernel_ends else integer_argument(uses, variable, integers)
            if argument is not None:
                if argument.name in ranges:
                    functions[variable] = argument
                continue
            operands = joined_tensors(uses, variable)
            if operands is None:
                continue
            sources = [source_of(uses, operand) for operand in operands]
            missing = [source.name for source in sources if source.name not in ranges]
            if missing:
                refused[variable] = f"no range for {', '.join(missing)}"
            elif not all(source in integers or source in functions for source in sources):
                refused[variable] = "not all that it reads is quantized"
            else:
                joins[variable] = sources
                kernel_ends.add(end_of_kernel(uses, variable, is_product=False))
                integers.update(sources, kernel_ends)
        return Candidates(functions, joins, refused)
