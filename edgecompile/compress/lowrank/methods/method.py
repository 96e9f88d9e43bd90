"""`Method`: one way to factorise one layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from edgecompile.compress.lowrank.factors import Factors
from edgecompile.compress.lowrank.problem import Problem
from edgecompile.compress.lowrank.shape import LayerShape

Ranks = tuple[int, ...]


class Method(ABC):
    """A decomposition of one problem; what is costly is done once, when it is asked for.

    Args:
        problem: the layer.

    Attributes:
        name: in recipes.
        has_vbmf: True where `ranks_by_vbmf` is known.
    """

    name: ClassVar[str]
    has_vbmf: ClassVar[bool] = True

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    @classmethod
    @abstractmethod
    def highest(cls, shape: LayerShape) -> Ranks:
        """The ranks at which nothing is lost."""

    @classmethod
    @abstractmethod
    def params(cls, shape: LayerShape, ranks: Ranks) -> int:
        """Elements of all factors."""

    @classmethod
    @abstractmethod
    def macs(cls, shape: LayerShape, ranks: Ranks) -> int:
        """Multiply-accumulates of one inference."""

    @classmethod
    def trimmed(cls, shape: LayerShape, ranks: Ranks) -> Ranks:
        """The lowest ranks that can do what these can."""
        del shape
        return ranks

    @abstractmethod
    def error(self, ranks: Ranks) -> float:
        """The squared error of the results by their squares, or an estimate that costs less than the factors."""

    @abstractmethod
    def ranks_by_energy(self, energy: float) -> Ranks:
        """The lowest ranks that keep this share of the squares, of each mode."""

    @abstractmethod
    def ranks_by_vbmf(self) -> Ranks:
        """What the weight has beside noise, at least 1; see `vbmf_rank`."""

    @abstractmethod
    def factors(self, ranks: Ranks) -> Factors:
        """The factors of these ranks."""
