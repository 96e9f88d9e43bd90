"""`Evidence`: what is known of each layer, in float and in int8, before any is freed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.compress.measuring.wording import place_of_time
from edgecompile.compress.quantize.mixed.greedy import Prospect
from edgecompile.compress.quantize.mixed.job import Job
from edgecompile.compress.quantize.mixed.worth import is_faster, saves_much
from edgecompile.compress.sensitivity.noise import HIGHEST_DB
from edgecompile.compress.sensitivity.record import Sensitivity
from edgecompile.layers import constants_of

if TYPE_CHECKING:
    import tvm

_LEAST_LOST = 1e-3  # of the model's time, so that a layer which costs nothing in float has a finite price


@dataclass(frozen=True)
class Evidence:
    """By layer.

    Attributes:
        plain, int8: what its kernels take, in `unit`; layers whose kernels are not known are missing.
        unit: see `Judgement`.
        saved_bytes: how much smaller int8 makes the model's constants.
        whole_bytes: of the float model's constants.
        sensitivity: what it does to outputs and metric where it alone is int8.
    """

    plain: Mapping[str, float]
    int8: Mapping[str, float]
    unit: str
    saved_bytes: Mapping[str, int]
    whole_bytes: int
    sensitivity: Sensitivity

    def is_timed(self, layer: str) -> bool:
        """True where both of its times are known."""
        return layer in self.plain and layer in self.int8

    def gain(self, layer: str) -> float:
        """By how much its kernels are faster in int8; 0 where that is not known."""
        return self.plain[layer] - self.int8[layer] if self.is_timed(layer) else 0.0

    def is_slow(self, layer: str) -> bool:
        """True where its kernels are known not to be faster in int8."""
        return self.is_timed(layer) and not is_faster(self.int8[layer], self.plain[layer])

    def is_small(self, layer: str) -> bool:
        """True where it saves too little for that to count."""
        return not saves_much(self.saved_bytes[layer], self.whole_bytes)

    def time(self, layer: str) -> str:
        """Both times, in words."""
        return place_of_time(self.plain.get(layer), self.int8.get(layer), self.unit)

    def prospects(self, job: Job) -> dict[str, Prospect]:
        """What the search knows of each layer."""
        least = max(_LEAST_LOST * sum(self.plain.values()), 1e-12)
        prospects = {}
        for layer in job.layers:
            ratio = self.sensitivity.layers[layer].snr_db
            prospects[layer] = Prospect(
                drop=self.sensitivity.drop(layer) or 0.0,
                noise=10 ** (-(HIGHEST_DB if ratio is None else ratio) / 10),
                lost=max(self.gain(layer), least),
            )
        return prospects


def saved_by_layer(job: Job) -> dict[str, int]:
    """`Evidence.saved_bytes`."""
    whole = constant_bytes(job.model.module)
    return {layer: whole - constant_bytes(job.compressed(frozenset({layer}))) for layer in job.layers}


def constant_bytes(module: tvm.IRModule) -> int:
    """Of all constants of a module."""
    return sum(constant.bytes for constant in constants_of(module))
