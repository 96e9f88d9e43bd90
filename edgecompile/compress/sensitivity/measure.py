"""`measure_sensitivity`: compress one layer at a time and see what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.compress.sensitivity.noise import Samples, answers, signal_to_noise_db
from edgecompile.compress.sensitivity.record import Effect, Key, Sensitivity, read_sensitivity
from edgecompile.compress.sensitivity.variants import Variants

if TYPE_CHECKING:
    import numpy as np

    from edgecompile.compress.driver import Predict
    from edgecompile.compress.sensitivity.metric import Metric

Progress = Callable[[str, int, "int | None"], None]
"""Called with what is being done, how much of it is done, and of how much."""


def measure_sensitivity(
    variants: Variants,
    layers: Sequence[str],
    *,
    name: str,
    kind: str,
    key: Key,
    samples: Samples,
    metric: Metric | None,
    path: Path | None,
    progress: Progress,
) -> Sensitivity:
    """The effect of each layer compressed alone, and of all together.

    Args:
        layers: that can be compressed, in order of execution.
        name, kind, key: of the result.
        samples: for the signal-to-noise ratio; none are fine.
        path: of a file that is written after each layer; what it already has for the same key is not measured again,
            unless the metric of the uncompressed model is another than it says: then the evaluation was changed.

    Raises:
        InvalidInputError: the metric is no number, or the path names a file of another kind.
        OutputError: the file cannot be written.
    """
    total = len(layers) + 2
    progress("sensitivity", 0, total)
    plain = variants.predict(frozenset())
    expected = answers(plain, samples)
    uncompressed = Effect(metric=None if metric is None else metric(plain))
    known = read_sensitivity(path) if path is not None else None
    if known is None or known.key != key or known.uncompressed != uncompressed:
        known = Sensitivity(name=name, kind=kind, key=key, uncompressed=uncompressed)

    def effect(predict: Predict) -> Effect:
        return Effect(snr_db=_ratio(expected, predict, samples), metric=None if metric is None else metric(predict))

    def keep(changed: Sensitivity) -> Sensitivity:
        if path is not None:
            changed.save(path)
        return changed

    for done, layer in enumerate(layers, 1):
        progress("sensitivity", done, total)
        if layer not in known.layers:
            found = {**known.layers, layer: effect(variants.predict(frozenset({layer})))}
            known = keep(known.model_copy(update={"layers": {name: found[name] for name in layers if name in found}}))
    if known.compressed is None:
        progress("sensitivity", total - 1, total)
        known = keep(known.model_copy(update={"compressed": effect(variants.predict(frozenset(layers)))}))
    progress("sensitivity", total, total)
    return known


def _ratio(expected: list[list[np.ndarray]], predict: Predict, samples: Samples) -> float | None:
    return signal_to_noise_db(expected, answers(predict, samples)) if samples else None
