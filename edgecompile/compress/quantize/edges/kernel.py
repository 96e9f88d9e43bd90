"""What belongs to the kernel of an operator: where its numbers come from, and where its result leaves it."""

from __future__ import annotations

import tvm
from tvm import relax

from edgecompile.compress.graph.uses import Uses
from edgecompile.integer.movements import is_movement

BOUNDS = ("nn.relu", "nn.relu6", "clip")


def source_of(uses: Uses, variable: relax.Var) -> relax.Var:
    """The variable whose numbers another one only moves."""
    while True:
        whole = uses.tuple_of(variable)
        is_part = whole is not None and uses.operator(whole) == "split"
        call = uses.call(whole if is_part else variable)
        if call is None or not is_movement(call) or not isinstance(call.args[0], relax.Var):
            return variable
        variable = call.args[0]


def end_of_kernel(uses: Uses, variable: relax.Var, *, is_product: bool) -> relax.Var:
    """The result of the bias and the bounds behind a product or a join: one integer kernel with it.

    Only products have a bias, right behind them; bounds of channels are the last.
    """
    takes_bias = is_product
    while uses.operator(variable) != "minimum":
        following = uses.only_reader(variable)
        call = uses.call(following) if following is not None else None
        if following is None or call is None:
            return variable
        operator = uses.operator(following)
        if operator in ("add", "minimum"):
            has_constant = any(isinstance(argument, tvm.ir.GenericConst) for argument in call.args)
            if not has_constant or (operator == "add" and not takes_bias):
                return variable
        elif operator not in BOUNDS:
            return variable
        takes_bias = False
        variable = following
    return variable


def is_end_of_matrix_product(uses: Uses, variable: relax.Var) -> bool:
    """True for a matrix product, and for what only its bias and bounds stand before."""
    while uses.operator(variable) in (*BOUNDS, "add", "minimum"):
        found = [argument for argument in uses.known_call(variable).args if isinstance(argument, relax.Var)]
        if len(found) != 1:
            return False
        variable = found[0]
    return uses.operator(variable) == "matmul"
