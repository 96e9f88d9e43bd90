"""Records and ways to compute a layer, made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgecompile.attention import Attention
from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation
from edgecompile.target import find_target
from edgecompile.tune.conditions import Conditions
from edgecompile.tune.records import Record
from edgecompile.tune.workload import Workload

TARGET = find_target("host")
CONDITIONS = Conditions(family="host_cpu", isa="{}", versions="edgecompile 1", cpu="one", threads=1)
PROBLEM = Convolution(1, 16, 32, 9, 9, (3, 3))
WORKLOAD = Workload.convolution(PROBLEM, 16)


def way(name: str, cycles: float, *, is_variant: bool = False) -> Implementation:
    """One way, whose key is its name and whose formula is its operand."""
    return Implementation(name, cycles, lambda weight: [weight], lambda x: x, name, is_variant=is_variant)


def record(way: str, ns: float, **changes: Any) -> Record:
    """At 1 GHz a cycle is a nanosecond; estimates were twice too low."""
    facts: dict[str, Any] = {
        "conditions": CONDITIONS,
        "workload": WORKLOAD.key,
        "way": way,
        "quartile_ns": ns,
        "min_ns": ns,
        "median_ns": ns,
        "spread": 0.1,
        "repeats": 5,
        "estimated_cycles": ns / 2,
        "clock_hz": 1e9,
    }
    return Record(**{**facts, **changes})


class Offered:
    """Offers the same ways for every layer."""

    def __init__(self, *ways: Implementation) -> None:
        self.ways = ways

    def block(self, channels: int) -> int:
        return channels

    def convolutions(self, problem: Convolution, in_block: int | None) -> Sequence[Implementation]:
        return self.ways

    def conversion_cycles(self, elements: int) -> float:
        return elements

    def plain_cycles(self, operations: int) -> float:
        return operations

    def attentions(self, problem: Attention) -> Sequence[Implementation]:
        return ()

    def products(self, rows: Sequence[int], problem: Convolution) -> Sequence[Implementation]:
        return self.ways

    def integer_batched_products(
        self,
        rows: int,
        inner: int,
        columns: int,
        zero_points: tuple[int, int],
        axes: tuple[tuple[int, ...], tuple[int, ...]],
    ) -> Sequence[Implementation]:
        raise NotImplementedError

    def batched_products(self, rows: int, inner: int, columns: int) -> Sequence[Implementation]:
        return self.ways
