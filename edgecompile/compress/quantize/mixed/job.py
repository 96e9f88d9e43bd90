"""`Job`: what is judged, and by what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecompile.compress.sensitivity.metric import Metric
from edgecompile.compress.sensitivity.noise import Samples
from edgecompile.compress.sensitivity.record import Key
from edgecompile.compress.sensitivity.variants import Compressed
from edgecompile.frontend.model import Model
from edgecompile.target import Target


@dataclass(frozen=True)
class Job:
    """What is judged.

    Attributes:
        model: float, simplified.
        layers: that can be int8, in order of execution.
        compressed: the model with some of them in int8.
        samples: for signal-to-noise ratios, and to time with; may be empty.
        key: of the sensitivities.
        metric: the user's; without one only time and size count.
        max_drop: by how much it may fall; None without a limit.
        target: that the times are for.
        sensitivity_path: of a file from which sensitivities are resumed.
    """

    model: Model
    layers: tuple[str, ...]
    compressed: Compressed
    samples: Samples
    key: Key
    metric: Metric | None
    max_drop: float | None
    target: Target
    sensitivity_path: Path | None
