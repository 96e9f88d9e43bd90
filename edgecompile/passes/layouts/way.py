"""`Way`: one of the ways to compute a binding, by the layouts that it reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgecompile.implementation import Implementation

if TYPE_CHECKING:
    from tvm import relax

    from edgecompile.passes.layouts.workshop import Workshop

Layout: TypeAlias = int  # b > 0: `[N, C/b, H, W, b]`, or a tuple of such tensors
PLAIN: Layout = 0  # `[N, C, H, W]`, or whatever the model states


@dataclass(frozen=True)
class Way:
    """One way to compute a binding.

    Attributes:
        reads: the variables that the value depends on, and in which layout it needs each.
        writes: the layout of the result.
        cycles: of one core, estimated; without the conversion of what it reads.
        build: the value, made of what the workshop knows.
        reason: what to tell about choosing it; empty where there is nothing to tell.
        is_kept: False where that tells why no template took it.
        joins: True for elementwise operators. They become part of the kernel that feeds them, but not behind a
            conversion.
    """

    reads: Mapping[relax.Var, Layout]
    writes: Layout
    cycles: float
    build: Callable[[Workshop], relax.Expr]
    reason: str = ""
    is_kept: bool = True
    joins: bool = False


def plain_way(value: relax.Expr, cycles: float = 0.0, reason: str = "", joins: bool = False) -> Way:
    """The value as it stands, on plain tensors."""
    return Way(
        reads=dict.fromkeys(variables_of(value), PLAIN),
        writes=PLAIN,
        cycles=cycles,
        build=lambda workshop: workshop.substituted(value),
        reason=reason,
        is_kept=False,
        joins=joins,
    )


def variables_of(value: relax.Expr) -> Sequence[relax.Var]:
    """The variables that a value depends on, each once, in a fixed order."""
    from tvm import relax

    return list(relax.analysis.free_vars(value))


def explain(chosen: Implementation, offered: Sequence[Implementation]) -> str:
    """The line about choosing one implementation out of those offered."""
    others = [other for other in offered if other is not chosen]
    price = explain_price(chosen.name, chosen.cycles, others, "measured" if chosen.is_measured else "estimated")
    return f"{price}; {chosen.note}" if chosen.note else price


def explain_price(name: str, cycles: float, others: Sequence[Implementation], how: str = "estimated") -> str:
    """The line about choosing what has this name and price."""
    prices = ", ".join(f"{other.name} {other.cycles / 1e3:.0f}k" for other in others)
    return f"{name}, {cycles / 1e3:.0f}k cycles {how}" + (f" (others: {prices})" if prices else "")
