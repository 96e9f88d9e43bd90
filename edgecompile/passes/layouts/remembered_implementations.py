"""`RememberedImplementations`: each distinct problem is asked about once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation, Implementations


class RememberedImplementations:
    """What a target has, with its answers kept: networks repeat their layers."""

    def __init__(self, implementations: Implementations) -> None:
        self.block = cache(implementations.block)
        self.conversion_cycles = cache(implementations.conversion_cycles)
        self.plain_cycles = cache(implementations.plain_cycles)
        self.attentions = cache(implementations.attentions)
        self._convolutions = cache(implementations.convolutions)
        self.transposed_convolutions = cache(implementations.transposed_convolutions)
        self.poolings = cache(implementations.poolings)
        self.resizings = cache(implementations.resizings)
        self.integer_block = cache(implementations.integer_block)
        self.integer_convolutions = cache(implementations.integer_convolutions)
        self._integer_products = cache(implementations.integer_products)
        self.integer_batched_products = cache(implementations.integer_batched_products)
        self._products = cache(implementations.products)
        self._batched_products = cache(implementations.batched_products)
        self.stored_products = implementations.stored_products  # each weight is another one

    def convolutions(self, problem: Convolution, in_block: int | None) -> Sequence[Implementation]:
        return self._convolutions(problem, in_block)

    def products(self, rows: Sequence[int], problem: Convolution) -> Sequence[Implementation]:
        return self._products(tuple(rows), problem)

    def integer_products(
        self, rows: Sequence[int], problem: Convolution, zero_point: int, lowest_weight: int
    ) -> Sequence[Implementation]:
        return self._integer_products(tuple(rows), problem, zero_point, lowest_weight)

    def batched_products(self, rows: int, inner: int, columns: int) -> Sequence[Implementation]:
        return self._batched_products(rows, inner, columns)
