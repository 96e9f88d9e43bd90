"""Concatenation without copies: what is put side by side is written there in the first place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from edgecompile.plan.execution_plan import ALIGNMENT_BYTES
from edgecompile.plan.static_program import StaticCall, StaticProgram, Value

# Of a kernel that copies its arguments one behind the other into its result, and does nothing else.
JOINS_ATTRIBUTE = "edgecompile.joins"


@dataclass
class Joins:
    """The concatenations of a program that need no kernel.

    Attributes:
        steps: their positions among the calls.
        places: of each tensor that is part of another: the other, and the byte offset in it.
    """

    steps: set[int] = field(default_factory=set)
    places: dict[Value, tuple[Value, int]] = field(default_factory=dict)

    def root(self, value: Value) -> tuple[Value, int]:
        """The tensor that is part of no other and holds this one, and the byte offset in it."""
        offset = 0
        while value in self.places:
            value, more = self.places[value]
            offset += more
        return value, offset


def find_joins(program: StaticProgram, joining: Collection[str]) -> Joins:
    """The joins whose parts are all made by kernels, for this join alone, and begin where a kernel may write.

    Args:
        joining: the symbols of kernels that do nothing but join.
    """
    joins = Joins()
    produced = {value for call in program.calls for value in call.results}
    for step, call in enumerate(program.calls):
        if call.kernel in joining and _may_join(call, produced, program, joins.places):
            joins.steps.add(step)
            joins.places.update(_places(call))
    return joins


def _may_join(
    call: StaticCall, produced: Collection[Value], program: StaticProgram, places: Mapping[Value, tuple[Value, int]]
) -> bool:
    parts = call.arguments
    if len(set(parts)) != len(parts) or any(value in program.outputs for value in (*parts, *call.results)):
        return False
    if any(part not in produced or part in places for part in parts):
        return False
    return all(offset % ALIGNMENT_BYTES == 0 for _, offset in _places(call).values())


def _places(call: StaticCall) -> dict[Value, tuple[Value, int]]:
    places, offset = {}, 0
    for part in call.arguments:
        places[part] = (call.results[0], offset)
        offset += part.size_bytes
    assert offset == call.results[0].size_bytes
    return places
