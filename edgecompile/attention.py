"""`Attention`: the numbers that define `softmax(steps(q @ k)) @ v`, and where its operands lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Placed:
    """Where a matrix per batch lies in the memory of an argument: `[*batch, row, column]`, in elements.

    Attributes:
        argument: which of the kernel's arguments.
        offset: of the first element.
        strides: of each dimension; 0 where the matrix repeats.
    """

    argument: int
    offset: int
    strides: tuple[int, ...]


@dataclass(frozen=True)
class ScoreStep:
    """What happens to the scores before the softmax.

    Attributes:
        kind: "scale" multiplies by `number`; "add" adds the operand; "where" keeps scores where the operand is true
            and puts `number` elsewhere; "unless" keeps them where it is false.
        number: see above.
        operand: see above; None for "scale".
    """

    kind: Literal["scale", "add", "where", "unless"]
    number: float = 0.0
    operand: Placed | None = None


@dataclass(frozen=True)
class Attention:
    """One attention of float32, without its data.

    Attributes:
        batch: images, heads: every dimension before the matrices.
        rows, keys: extents of the scores.
        width: of queries and keys.
        value_width: of values and of the result.
        query: `[*batch, rows, width]`.
        key: `[*batch, width, keys]`, as the product reads it.
        value: `[*batch, keys, value_width]`.
        steps: between the first product and the softmax.
        result: strides of the result `[*batch, rows, value_width]`, which fills its memory.
    """

    batch: tuple[int, ...]
    rows: int
    keys: int
    width: int
    value_width: int
    query: Placed
    key: Placed
    value: Placed
    steps: tuple[ScoreStep, ...]
    result: tuple[int, ...]

    @property
    def heads(self) -> int:
        """How many pairs of matrices there are."""
        return math.prod(self.batch)

    @property
    def result_shape(self) -> tuple[int, ...]:
        return (*self.batch, self.rows, self.value_width)

    @staticmethod
    def from_numbers(numbers: Mapping[str, Any]) -> Attention:
        """Back from what `dataclasses.asdict` made, also by way of JSON."""

        def placed(entry: Mapping[str, Any]) -> Placed:
            return Placed(entry["argument"], entry["offset"], tuple(entry["strides"]))

        def step(entry: Mapping[str, Any]) -> ScoreStep:
            operand = placed(entry["operand"]) if entry["operand"] is not None else None
            return ScoreStep(entry["kind"], entry["number"], operand)

        extents = {key: numbers[key] for key in ("rows", "keys", "width", "value_width")}
        return Attention(
            **extents,
            batch=tuple(numbers["batch"]),
            query=placed(numbers["query"]),
            key=placed(numbers["key"]),
            value=placed(numbers["value"]),
            steps=tuple(map(step, numbers["steps"])),
            result=tuple(numbers["result"]),
        )
