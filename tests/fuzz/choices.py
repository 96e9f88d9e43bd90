"""`Choices`: where the generator's decisions come from; hypothesis in tests, a seeded generator in long runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st

T = TypeVar("T")
DIMENSIONS = (3, 1, 2, 4, 5, 7, 8, 9, 13)


class Choices(ABC):
    """Random decisions; the first option of each is the simplest, to which shrinking goes."""

    @abstractmethod
    def integer(self, low: int, high: int) -> int:
        """Between both, ends included."""

    @abstractmethod
    def choose(self, options: Sequence[T]) -> T:
        """One of them."""

    @abstractmethod
    def subset(self, options: Sequence[int]) -> list[int]:
        """At least one of them, in random order; empty when there are none."""

    @abstractmethod
    def permutation(self, length: int) -> list[int]:
        """0 to length - 1 in random order."""

    def flag(self) -> bool:
        return self.choose((False, True))

    def dimension(self) -> int:
        return self.choose(DIMENSIONS)


class DrawnChoices(Choices):
    """By hypothesis, which makes failing graphs smaller."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def choose(self, options: Sequence[T]) -> T:
        return self._draw(st.sampled_from(options))

    def subset(self, options: Sequence[int]) -> list[int]:
        if not options:
            return []
        return self._draw(st.lists(st.sampled_from(options), min_size=1, max_size=len(options), unique=True))

    def permutation(self, length: int) -> list[int]:
        return list(self._draw(st.permutations(range(length))))


class RandomChoices(Choices):
    """Independent draws: hypothesis tries many variations of one graph, which finds less in a long run."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def integer(self, low: int, high: int) -> int:
        return int(self._generator.integers(low, high, endpoint=True))

    def choose(self, options: Sequence[T]) -> T:
        return options[self.integer(0, len(options) - 1)]

    def subset(self, options: Sequence[int]) -> list[int]:
        if not options:
            return []
        return [options[i] for i in self.permutation(len(options))[: self.integer(1, len(options))]]

    def permutation(self, length: int) -> list[int]:
        return [int(i) for i in self._generator.permutation(length)]
