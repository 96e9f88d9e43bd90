"""`Workload`: one layer's numbers, by which its measured times are found again, and a watch on all that are asked."""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgecompile.attention import Attention
from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation, Implementations
from edgecompile.pooling import Pooling
from edgecompile.resizing import Resizing
from edgecompile.storage.stored_weight import StoredWeight
from edgecompile.transposed_convolution import TransposedConvolution

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Workload:
    """What a planner of layouts asks `Implementations` for.

    Attributes:
        key: the question as canonical JSON.
        label: for people, such as "conv 3x3 64->64 56x56".
        operands: shapes of the float32 tensors that are computed at run time.
        weight: shape of what `Implementation.pack` takes; None where nothing is known at compile time.
    """

    key: str
    label: str
    operands: tuple[Shape, ...]
    weight: Shape | None

    @staticmethod
    def convolution(problem: Convolution, in_block: int | None) -> Workload:
        """A convolution of a tensor in blocks of `in_block` channels; None where it is not blocked."""
        size = (problem.height, problem.width)
        plain = (problem.batch, problem.in_channels, *size)
        blocked = (problem.batch, problem.in_channels // (in_block or 1), *size, in_block or 1)
        kind = "depthwise" if problem.is_depthwise else "conv"
        channels = f"{problem.in_channels}->{problem.out_channels}"
        steps = "" if problem.strides == (1, 1) else f"/{problem.strides[0]}"
        return Workload(
            key=_canonical("convolution", {"problem": dataclasses.asdict(problem), "in_block": in_block}),
            label=f"{kind} {_by(problem.kernel)}{steps} {channels} {_by(size)}",
            operands=(plain if in_block is None else blocked,),
            weight=(problem.out_channels, problem.group_channels, *problem.kernel),
        )

    @staticmethod
    def product(rows: Sequence[int], problem: Convolution) -> Workload:
        """A product `[*rows, C] @ [C, K]` with a known matrix."""
        inner, columns = problem.in_channels, problem.out_channels
        return Workload(
            key=_canonical("product", {"rows": list(rows), "inner": inner, "columns": columns}),
            label=f"matmul {_by(rows)} {inner}->{columns}",
            operands=((*rows, inner),),
            weight=(columns, inner, 1, 1),
        )

    @staticmethod
    def batched_product(rows: int, inner: int, columns: int) -> Workload:
        """One product `[rows, inner] @ [inner, columns]` of a batch, both computed at run time."""
        return Workload(
            key=_canonical("batched product", {"rows": rows, "inner": inner, "columns": columns}),
            label=f"batch_matmul {rows} {inner}->{columns}",
            operands=((1, rows, inner), (1, inner, columns)),
            weight=None,
        )


class WatchedImplementations(ABC):
    """Passes every question on, and lets `answer` see its workload and change its answer."""

    def __init__(self, offered: Implementations) -> None:
        self._offered = offered

    @abstractmethod
    def answer(self, workload: Workload, ways: Sequence[Implementation]) -> Sequence[Implementation]:
        """What the asker gets for `ways`."""

    def block(self, channels: int) -> int:
        """As offered."""
        return self._offered.block(channels)

    def conversion_cycles(self, elements: int) -> float:
        """As offered."""
        return self._offered.conversion_cycles(elements)

    def plain_cycles(self, operations: int) -> float:
        """As offered."""
        return self._offered.plain_cycles(operations)

    def poolings(self, pooling: Pooling, block: int) -> Sequence[Implementation]:
        """As offered."""
        return self._offered.poolings(pooling, block)

    def resizings(self, resizing: Resizing, block: int) -> Sequence[Implementation]:
        """As offered."""
        return self._offered.resizings(resizing, block)

    def transposed_convolutions(self, problem: TransposedConvolution, in_block: int) -> Sequence[Implementation]:
        """As offered."""
        return self._offered.transposed_convolutions(problem, in_block)

    def attentions(self, problem: Attention) -> Sequence[Implementation]:
        """As offered: there is one way, and nothing to choose."""
        return self._offered.attentions(problem)

    def stored_products(
        self, rows: Sequence[int], problem: Convolution, weight: StoredWeight
    ) -> Sequence[Implementation]:
        """As offered."""
        return self._offered.stored_products(rows, problem, weight)

    def integer_block(self, channels: int) -> int:
        """As offered."""
        return self._offered.integer_block(channels)

    def integer_convolutions(
        self,
        problem: Convolution,
        zero_point: int,
        in_block: int,
        lowest_weight: int,
        weight_sum: int | None = None,
    ) -> Sequence[Implementation]:
        """As offered."""
        return self._offered.integer_convolutions(problem, zero_point, in_block, lowest_weight, weight_sum)

    def integer_products(
        self, rows: Sequence[int], problem: Convolution, zero_point: int, lowest_weight: int
    ) -> Sequence[Implementation]:
        """As offered."""
        return self._offered.integer_products(rows, problem, zero_point, lowest_weight)

    def convolutions(self, problem: Convolution, in_block: int | None) -> Sequence[Implementation]:
        """See `Implementations.convolutions`."""
        return self.answer(Workload.convolution(problem, in_block), self._offered.convolutions(problem, in_block))

    def products(self, rows: Sequence[int], problem: Convolution) -> Sequence[Implementation]:
        """See `Implementations.products`."""
        return self.answer(Workload.product(rows, problem), self._offered.products(rows, problem))

    def integer_batched_products(
        self,
        rows: int,
        inner: int,
        columns: int,
        zero_points: tuple[int, int],
        axes: tuple[tuple[int, ...], tuple[int, ...]],
    ) -> Sequence[Implementation]:
        """As they are: integer kernels are not measured."""
        return self._offered.integer_batched_products(rows, inner, columns, zero_points, axes)

    def batched_products(self, rows: int, inner: int, columns: int) -> Sequence[Implementation]:
        """See `Implementations.batched_products`."""
        ways = self._offered.batched_products(rows, inner, columns)
        return self.answer(Workload.batched_product(rows, inner, columns), ways)


class CollectedWorkloads(WatchedImplementations):
    """Remembers what was asked.

    Attributes:
        found: all ways of each workload, in the order of the first question; those without any way are left out.
    """

    def __init__(self, offered: Implementations) -> None:
        super().__init__(offered)
        self.found: dict[Workload, Sequence[Implementation]] = {}

    def answer(self, workload: Workload, ways: Sequence[Implementation]) -> Sequence[Implementation]:
        """The templates' own choices: nothing is known yet that speaks for another."""
        if ways:
            self.found.setdefault(workload, ways)
        return own_choices(ways)


def own_choices(ways: Sequence[Implementation]) -> list[Implementation]:
    """Each template with the numbers that it chose itself."""
    return [way for way in ways if not way.is_variant]


def _by(numbers: Sequence[int]) -> str:
    return "x".join(map(str, numbers))


def _canonical(kind: str, numbers: Mapping[str, Any]) -> str:
    return json.dumps({"kind": kind, **numbers}, sort_keys=True)
