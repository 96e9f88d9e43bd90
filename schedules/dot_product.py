"""`DotProduct`: an instruction that adds products of small integers to 32-bit sums, by its meaning and its spelling.

    sum[lane] += x[0] * w[lane, 0] + ... + x[group - 1] * w[lane, group - 1]        for all lanes

or, of two pixels and half as many lanes at a time, see `schedules.cpu.integers.pixel_pairs`,

    sum[pixel, lane] += x[pixel, 0] * w[lane, 0] + ... + x[pixel, group - 1] * w[lane, group - 1]

All of them are exact: no sum saturates, whatever x holds. Some need weights within narrower bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from schedules.cpu.loops import Expr

    Operand: TypeAlias = Callable[[Expr], Expr]

FactorType: TypeAlias = Literal["int8", "int16"]


def _in_order(lane: Expr, element: Expr, group: int) -> Expr:
    return lane * group + element


@dataclass(frozen=True)
class DotProduct:
    """One way to multiply and add.

    Attributes:
        name: of the instruction, by which a kernel's annotation names it.
        lanes: 32-bit sums of a vector.
        group: channels that one step adds to a sum.
        factor: the type that x has beside the weights; int16 where it is widened first.
        offset: what is added to x, so that it has no sign: 128 or 0.
        instructions: of one step of one vector.
        operands: registers that hold x, constants and results in between, beside sums and weights.
        weight: the `lanes * group` packed int8 of a step as the instruction's operand.
        spread: the `group` factors of a pixel, side by side in an integer of as many bits, as its operand.
        add: (sums, x, weights) to the new sums.
        place: (lane, element of the group, group) to the place of a weight among the packed ones of a step.
        lowest_weight: that it is exact for; above -128 no weight may be above its negative either.
        spread_instructions: that `spread` takes for each pixel and step; 0 where it is a part of the product.
        pixels: of x that one step takes, 1 or 2. Of two, `add` takes half of a vector's weights.
        multiplies: times that a step of one vector occupies one of the CPU's `fma_ports`.
    """

    name: str
    lanes: int
    group: int
    factor: FactorType
    offset: int
    instructions: int
    operands: int
    weight: Operand
    spread: Operand
    add: Callable[[Expr, Expr, Expr], Expr]
    place: Callable[[Expr, Expr, int], Expr] = _in_order
    lowest_weight: int = -128
    spread_instructions: int = 0
    pixels: int = 1
    multiplies: int = 1

    @property
    def macs_per_multiply(self) -> float:
        """Products that a multiplier port of the CPU adds up in a cycle."""
        return self.lanes * self.group / self.multiplies

    @property
    def words(self) -> int:
        """Words that one load of x brings where the instruction takes any of a register's: 16 bytes once widened."""
        return (16 if self.factor == "int8" else 8) // self.group

    @property
    def word(self) -> str:
        """The type of a pixel's factors of one step, taken together."""
        return f"int{self.group * (8 if self.factor == 'int8' else 16)}"
