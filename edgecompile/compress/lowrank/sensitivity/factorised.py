"""`Factorised`: the factors of layers at shares of their parameters, each made once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tvm

from edgecompile.compress.lowrank.choices import Choice
from edgecompile.compress.lowrank.factors import Factors
from edgecompile.compress.lowrank.prepare import Prepared
from edgecompile.compress.lowrank.rewrite import rewrite
from edgecompile.compress.lowrank.sensitivity.shares import choice_within


class Factorised:
    """What layers become at shares of their parameters.

    Args:
        ready: with the choices of each layer.
        shares: that are asked for.

    Attributes:
        choices: by layer and share, in order of execution; those that no rank reaches are left out.
        levels: the shares that are reached, of each layer that can be factorised; some have none.
    """

    def __init__(self, ready: Prepared, shares: Sequence[float]) -> None:
        self._module = ready.model.module
        shapes = {found.layer.name: found.layer.shape for found in ready.layers if found.layer.name in ready.choices}
        found = {
            (name, share): choice_within(ready.choices[name], shape, share)
            for name, shape in shapes.items()
            for share in shares
        }
        self.choices: dict[tuple[str, float], Choice] = {at: choice for at, choice in found.items() if choice}
        self.levels = {name: [share for share in shares if (name, share) in self.choices] for name in shapes}
        self._made: dict[tuple[str, str], Factors] = {}

    def factors(self, shares: Mapping[str, float]) -> dict[str, Factors]:
        """By layer; one that no rank makes as small as its share says is left out, and stays."""
        choices = {name: self.choices.get((name, share)) for name, share in shares.items()}
        return {name: self._factors(name, choice) for name, choice in choices.items() if choice is not None}

    def module(self, shares: Mapping[str, float]) -> tvm.IRModule | None:
        """The module with these factors; None where no layer has some."""
        factors = self.factors(shares)
        return rewrite(self._module, factors) if factors else None

    def _factors(self, name: str, choice: Choice) -> Factors:
        key = (name, choice.name)
        if key not in self._made:
            self._made[key] = choice.method.factors(choice.ranks)
        return self._made[key]
