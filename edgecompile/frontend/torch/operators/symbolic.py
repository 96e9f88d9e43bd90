"""Arithmetic on dimensions, and picking one of several results."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tvm import tirx

from edgecompile.frontend.torch.context import Arguments, Context, shape_of
from edgecompile.frontend.torch.registry import converter


@converter("getitem")
def getitem(context: Context, args: Any) -> Any:
    """One result of an operator with several."""
    value = args[0][args[1]]
    if value is None:
        source = context.node.args[0]
        raise context.refuse(
            f"result {args[1]} of {source.target} ({source.name}) is not computed", "use its first result only"
        )
    return value


@converter("sym_size.int")
def dimension(context: Context, args: Arguments) -> Any:
    """A dimension of a tensor as a number or a symbolic expression."""
    return shape_of(args.self)[args.dim]


def _arithmetic(function: Any) -> Callable[[Context, Any], Any]:
    def convert(context: Context, args: Any) -> Any:
        value = function(*args)
        return int(value) if isinstance(value, tirx.IntImm) else value

    return convert


def _floor_divide(left: Any, right: Any) -> Any:
    return left // right if isinstance(left, int) and isinstance(right, int) else tirx.floordiv(left, right)


def _remainder(left: Any, right: Any) -> Any:
    return left % right if isinstance(left, int) and isinstance(right, int) else tirx.floormod(left, right)


for _name, _function in {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "neg": operator.neg,
    "floordiv": _floor_divide,
    "mod": _remainder,
}.items():
    converter(_name)(_arithmetic(_function))
