"""`Times`: what choices would take, by what others took."""

from __future__ import annotations

from collections.abc import Mapping

from edgecompile.compress.lowrank.choices import Choice
from edgecompile.compress.lowrank.prepare import Prepared
from edgecompile.compress.lowrank.solve import Chosen, Costs


class Times:
    """A choice takes as long by its multiply-accumulates as the same method took for the layer, where that is known;
    else as the layer itself does.

    Args:
        ready: the layers and their choices.
        plain: what each layer takes as it is, where that is known; the others are free, so no time can be saved there.
        whole: what the model takes.

    Attributes:
        costs: to choose by; a layer's price changes with what is learned.
    """

    def __init__(self, ready: Prepared, plain: Mapping[str, float], whole: float) -> None:
        self._by_mac: dict[tuple[str, str], float] = {}
        layers = {name: plain.get(name, 0.0) for name in ready.choices}
        macs = ready.costs("macs").layers
        self._plain_by_mac = {name: time / max(macs[name], 1) for name, time in layers.items()}
        self.costs = Costs("latency", whole, layers, self._price)

    def learn(self, chosen: Chosen, measured: Mapping[str, float]) -> None:
        """Take in the times of some layers' choices."""
        for name, time in measured.items():
            choice = chosen[name]
            assert choice is not None, "what was measured was chosen"
            self._by_mac[name, choice.method.name] = time / max(choice.macs, 1)

    def _price(self, name: str, choice: Choice) -> float:
        return choice.macs * self._by_mac.get((name, choice.method.name), self._plain_by_mac[name])
