"""`Rule`: what pruning knows of an operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from edgecompile.compress.prune.channels.kept import Kept
from edgecompile.compress.prune.channels.site import Site

if TYPE_CHECKING:
    from tvm import relax

Rewrite: TypeAlias = "Callable[[Site, Sequence[relax.Expr], Kept], relax.Expr]"
"""The call for arguments of which only some elements stayed."""


class Rule(NamedTuple):
    """One operator.

    Attributes:
        link: tells which elements of the arguments and the results go together, so that whatever components go, the
            call computes what it would with zeros in their places, or has no such place any more.
        rewrite: None where the same attributes do for shorter arguments.
    """

    link: Callable[[Site], None]
    rewrite: Rewrite | None = None


RULES: dict[str, Rule] = {}
"""By the name of the operator in Relax, without its prefix."""


def rule(*operators: str, rewrite: Rewrite | None = None) -> Callable[[Callable[[Site], None]], Callable[[Site], None]]:
    """Register the function that links the elements of some operators."""

    def register(link: Callable[[Site], None]) -> Callable[[Site], None]:
        for operator in operators:
            RULES[operator] = Rule(link, rewrite)
        return link

    return register
