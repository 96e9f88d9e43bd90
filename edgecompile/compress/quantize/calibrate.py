"""`calibrate`: choose a range for each tensor of a float model by running it on data."""

from __future__ import annotations

from collections.abc import Sequence

from edgecompile.compress.activations.observed_model import ObservedModel
from edgecompile.compress.quantize.observe import Progress, observe
from edgecompile.compress.quantize.observers import Observer, find_observer
from edgecompile.compress.quantize.table import CalibrationTable
from edgecompile.compress.samples.data import Data
from edgecompile.frontend.model import Model


def calibrate(
    model: Model,
    data: Data,
    *,
    observer: str | Observer = "entropy",
    samples: int | None = None,
    channels: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
) -> CalibrationTable:
    """The table that one observer makes; otherwise as `calibrate_each`."""
    return calibrate_each(
        model, data, observers=(observer,), samples=samples, channels=channels, threads=threads, progress=progress
    )[0]


def calibrate_each(
    model: Model,
    data: Data,
    *,
    observers: Sequence[str | Observer],
    samples: int | None = None,
    channels: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
    observed: ObservedModel | None = None,
) -> tuple[CalibrationTable, ...]:
    """One table per observer, in their order, from a single pass over the data.

    Args:
        model: what shall be quantized, already simplified: the table speaks of the variables of this very module.
        data: as for `read_samples`.
        observers: names of `observer_names()`, or observers with their options.
        samples: at most so many are taken; all of them unless given.
        channels: record the greatest magnitude of each channel too.
        threads: how many work on one inference.
        progress: called with each phase of the compilation of the observed model, and after each sample.
        observed: the model compiled already, where it is; it stays open.

    Raises:
        InvalidCalibrationError: the data are empty, unreadable or do not fit the model; the model has no float32
            tensor; or no observer has that name.
        InvalidModelError: two variables of the model share a name.
        UnsupportedModelError: the model has control flow; or as for `compile`.
        CompilerBugError, ToolchainError: as for `compile`.

    Warns:
        UserWarning: a tensor was NaN or infinite for some sample. It is left out of the table, so it stays float.
    """
    chosen = [find_observer(observer) if isinstance(observer, str) else observer for observer in observers]
    observations = observe(
        model,
        data,
        observers=chosen,
        samples=samples,
        channels=channels,
        threads=threads,
        progress=progress,
        observed=observed,
    )
    return tuple(observations.table(observer) for observer in chosen)
