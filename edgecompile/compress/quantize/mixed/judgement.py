"""`Judgement`: what was measured of a quantization, and what ships."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edgecompile.compress.measuring.timing import Cost
from edgecompile.decision import Decision


@dataclass(frozen=True)
class VariantResult:
    """One compiled model.

    Attributes:
        name: "float", "int8", "mixed".
        int8_layers: how many layers are int8.
        metric: of the compiled model; None without an evaluation.
        cost: of one inference, in `Judgement.unit`; its ratio is to float.
        library_bytes, weight_bytes: of the files that ship.
    """

    name: str
    int8_layers: int
    metric: float | None
    cost: Cost
    library_bytes: int
    weight_bytes: int

    @property
    def total_bytes(self) -> int:
        """Library and weights."""
        return self.library_bytes + self.weight_bytes


@dataclass(frozen=True)
class LayerResult:
    """One layer that could be int8.

    Attributes:
        snr_db: of the outputs where this layer alone is int8; None without samples.
        drop: of the metric where this layer alone is int8; None without an evaluation.
        cost_float, cost_int8: of its kernels, in `Judgement.unit`; None where they are not known.
        saved_bytes: how much smaller int8 makes the model's constants.
        kept: True where it ships in int8.
        reason: why, with the numbers that decided.
    """

    name: str
    snr_db: float | None
    drop: float | None
    cost_float: float | None
    cost_int8: float | None
    saved_bytes: int
    kept: bool
    reason: str

    def figures(self, unit: str) -> dict[str, float]:
        """What is known, by the names of a table's columns."""
        known = {
            "SNR dB": self.snr_db,
            "metric drop": self.drop,
            f"float {unit}": self.cost_float,
            f"int8 {unit}": self.cost_int8,
            "saved bytes": float(self.saved_bytes),
        }
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True)
class Judgement:
    """The whole of it.

    Attributes:
        target: its name.
        unit: of all costs: "ms" measured on this machine, or "cycles" estimated for a target that is not here.
        metric: the evaluation's name; "" without one.
        max_drop: by how much the metric may fall; None without a limit.
        variants: float first; the last is what ships, where it is no other.
        layers: in order of execution.
        outcome: what ships and what that gives, in one line.
        ships: the name of the variant that ships.
    """

    target: str
    unit: str
    metric: str
    max_drop: float | None
    variants: tuple[VariantResult, ...]
    layers: tuple[LayerResult, ...]
    outcome: str
    ships: Literal["float", "int8", "mixed"]

    def decisions(self, step: str) -> list[Decision]:
        """One for each layer."""
        return [Decision(step, layer.name, layer.kept, layer.reason) for layer in self.layers]

    @property
    def figures(self) -> Mapping[str, Mapping[str, float]]:
        """By layer; see `CompressionStep.figures`."""
        return {layer.name: layer.figures(self.unit) for layer in self.layers}
