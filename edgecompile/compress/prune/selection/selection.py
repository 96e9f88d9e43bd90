"""`Selection`: how channels are chosen, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from edgecompile.errors import InvalidRecipeError

Method = Literal["uniform", "global", "isomorphic"]
BudgetKind = Literal["macs", "params", "bytes", "latency"]


@dataclass(frozen=True)
class Budget:
    """What the whole model may still cost.

    Attributes:
        kind: multiply-accumulates, elements of constants, their bytes, or the time of one inference on the target.
        share: of what the unpruned model costs, in 0..1.

    Raises:
        InvalidRecipeError: it is no such budget.
    """

    kind: BudgetKind
    share: float

    def __post_init__(self) -> None:
        if self.kind not in get_args(BudgetKind):
            raise InvalidRecipeError(f"a budget is one of {', '.join(get_args(BudgetKind))}, found {self.kind!r:.60}")
        if not 0 < self.share <= 1:
            raise InvalidRecipeError(
                f"{self.kind} is the share of the unpruned model that stays, above 0 and at most 1, "
                f"found {self.share:g}"
            )


@dataclass(frozen=True)
class Selection:
    """How channels are chosen.

    Attributes:
        method: which channels are compared. "uniform": those of one group, so that each group loses the same ratio;
            "global": all, by their scores relative to their group's mean; "isomorphic": those of groups with the same
            structure, likewise, and each structure loses the same ratio (Fang et al., "Isomorphic Pruning for Vision
            Models", ECCV 2024).
        ratio: of the channels that go, in 0..1; None where a budget decides.
        budget: that decides how many go; None where a ratio does.
        ratios: of the channels of some groups that go, by name; the rest decides about the others alone. 0 keeps a
            group whole.
        most: of the channels of a group that may go, in 0..1.
        least: channels that stay of each group.
        round_to: what the channels of a layer shall be a multiple of; see `rounding`. 1 rounds nothing.

    Raises:
        InvalidRecipeError: a number is out of range, or both a ratio and a budget are given.
    """

    method: Method = "global"
    ratio: float | None = None
    budget: Budget | None = None
    ratios: Mapping[str, float] = field(default_factory=dict)
    most: float = 0.9
    least: int = 1
    round_to: int = 1

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise InvalidRecipeError(f"selection is one of {', '.join(get_args(Method))}, found {self.method!r:.60}")
        if self.ratio is not None and self.budget is not None:
            raise InvalidRecipeError(f"needed a ratio or a budget, found both ratio and {self.budget.kind}; leave one")
        if not 0 < self.most < 1:
            raise InvalidRecipeError(f"most is a share of a group's channels, above 0 and below 1, found {self.most:g}")
        for name, count in (("least", self.least), ("round_to", self.round_to)):
            if count < 1:
                raise InvalidRecipeError(f"{name} is a number of channels, at least 1, found {count}")
        named = {"ratio": self.ratio} if self.ratio is not None else {}
        for name, ratio in {**named, **{f"the ratio of {name}": ratio for name, ratio in self.ratios.items()}}.items():
            if not 0 <= ratio <= 1:
                raise InvalidRecipeError(f"{name} is the share of channels that go, in 0..1, found {ratio:g}")
            if ratio > self.most:
                raise InvalidRecipeError(
                    f"{name} is {ratio:g}, but at most {self.most:g} of a group's channels may go; "
                    f"lower it, or raise most"
                )
