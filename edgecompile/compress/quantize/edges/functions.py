"""Functions of one number, and of one number for each channel, as what a table of integers holds."""

from __future__ import annotations

from collections.abc import Collection

from tvm import relax

from edgecompile.compress.graph.uses import Uses
from edgecompile.compress.quantize.edges.kernel import BOUNDS, source_of
from edgecompile.integer.elementwise import ELEMENTWISE, argument_of
from edgecompile.passes.channel_affine import read_channel_affine


def integer_argument(uses: Uses, variable: relax.Var, integers: Collection[relax.Var]) -> relax.Var | None:
    """The integer tensor of which another is a function, number by number: a table has its values.

    Args:
        integers: the tensors that are known as integers.
    """

    def call_of(value: relax.Expr) -> relax.Call | None:
        if uses.operator(value) not in ELEMENTWISE or (value in integers and not value.same_as(variable)):
            return None
        return uses.known_call(value)

    found = argument_of(variable, call_of)
    if found is None:
        found = _argument_by_channel(uses, variable)
    if found is None or found.same_as(variable):
        return None
    source = source_of(uses, found)
    return source if source in integers else None


def _argument_by_channel(uses: Uses, variable: relax.Var) -> relax.Var | None:
    """What is multiplied, and moved, by a number for each channel; bounds may stand behind."""

    def is_used_once(value: relax.Expr) -> bool:
        return len(uses.readers(value)) == 1

    while uses.operator(variable) in BOUNDS:
        argument = uses.known_call(variable).args[0]
        if not isinstance(argument, relax.Var):
            break
        variable = argument
        if not is_used_once(variable):
            return None
    found = read_channel_affine(variable, uses.call, is_used_once)
    return None if found is None else found.base
