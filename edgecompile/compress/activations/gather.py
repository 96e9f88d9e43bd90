"""What the inputs of products are on the calibration data, in bounded memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from edgecompile.compress.activations.product import Product
from edgecompile.compress.activations.runs import Runs

_HELD_OUT = 4  # every fourth sample judges what the others chose
_ROWS_PER_SAMPLE = 256
_KEPT_ROWS = 2048
_MEMORY_BYTES = 512 << 20


class RowSample:
    """Some of all rows that were added, each row as likely as any other.

    Args:
        most: how many are kept.
        random: draws them.
    """

    def __init__(self, most: int, random: np.random.Generator) -> None:
        self._most, self._random = most, random
        self._parts: list[np.ndarray] = []
        self._keys = np.empty(0)

    def add(self, rows: np.ndarray) -> None:
        """Rows `[groups, rows, terms]`."""
        self._parts.append(rows)
        self._keys = np.concatenate([self._keys, self._random.random(rows.shape[1])])
        if len(self._keys) > 2 * self._most:
            self._cut()

    @property
    def rows(self) -> np.ndarray | None:
        """`[groups, rows, terms]`; None where none was added."""
        if not self._parts:
            return None
        self._cut()
        return self._parts[0]

    def _cut(self) -> None:
        everything = np.concatenate(self._parts, axis=1)
        best = np.sort(np.argsort(self._keys)[: self._most])
        self._parts, self._keys = [everything[:, best]], self._keys[best]


class Inputs:
    """What the inputs of one product were.

    Args:
        product: it.
        needs_gram: gather the Gram matrix too.

    Attributes:
        gram: float64 `[groups, terms, terms]`, sums of `row^T row` over the samples to choose by; None where it is not
            needed.
        gram_rows: how many rows are in it.
        seen: rows of the samples to choose by.
        held_out: rows of the samples to judge by.
        is_finite: False once a value was NaN or infinite.
    """

    def __init__(self, product: Product, *, needs_gram: bool) -> None:
        groups, _, terms = product.matrix(product.weight).shape
        self._product = product
        self._random = np.random.default_rng(0)
        self.gram = np.zeros((groups, terms, terms)) if needs_gram else None
        self.gram_rows = 0
        self.seen = RowSample(_KEPT_ROWS, self._random)
        self.held_out = RowSample(_KEPT_ROWS, self._random)
        self.is_finite = True

    def add(self, x: np.ndarray, number: int) -> None:
        """The product's input for the sample of a number, from 0."""
        if not np.isfinite(x).all():
            self.is_finite = False
        if not self.is_finite:
            return
        rows = self._product.rows(x, _ROWS_PER_SAMPLE, self._random)
        if number % _HELD_OUT == _HELD_OUT - 1:
            self.held_out.add(rows)
            return
        self.seen.add(rows)
        if self.gram is not None:
            self.gram += rows.transpose(0, 2, 1) @ rows  # float32 products of a few hundred terms, summed in float64
            self.gram_rows += rows.shape[1]


def gather(products: Sequence[Product], grams: Collection[str], runs: Runs) -> Iterator[tuple[Product, Inputs]]:
    """Each product with its inputs, in as many passes over the data as memory allows.

    Args:
        products: of the model of `runs`.
        grams: names of the products whose Gram matrices are needed.
    """
    for batch in _batches(products, grams):
        inputs = {product.name: Inputs(product, needs_gram=product.name in grams) for product in batch}
        for number, tensors in enumerate(runs.one_pass()):
            for product in batch:
                inputs[product.name].add(tensors[product.source], number)
        for product in batch:
            yield product, inputs.pop(product.name)


def _batches(products: Sequence[Product], grams: Collection[str]) -> Iterator[list[Product]]:
    batch: list[Product] = []
    size = 0
    for product in products:
        groups, _, terms = product.matrix(product.weight).shape
        gram = groups * terms**2 * 8 if product.name in grams else 0
        needed = gram + 3 * _KEPT_ROWS * groups * terms * 4  # a sample is cut at twice its size
        if batch and size + needed > _MEMORY_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(product)
        size += needed
    if batch:
        yield batch
