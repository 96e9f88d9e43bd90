"""`calibrate`: run a float model on data and choose a range for each of its tensors."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.compress.quantize.data import Data, count_samples, read_samples
from edgecompile.compress.quantize.fingerprint import fingerprint
from edgecompile.compress.quantize.observed_model import ObservedModel
from edgecompile.compress.quantize.observers import Observer, find_observer
from edgecompile.compress.quantize.observers.channel_absmax import ChannelAbsMax
from edgecompile.compress.quantize.table import CalibrationTable, TensorRange
from edgecompile.errors import InvalidCalibrationError
from edgecompile.frontend.model import Model

if TYPE_CHECKING:
    import numpy as np

#: Called with what is being done, how much of it is done, and of how much; 0 and None where there is no count.
Progress = Callable[[str, int, "int | None"], None]


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
    """Watch every float32 tensor of the model while it runs on data, and choose the range of each.

    As `calibrate_each` for one observer.
    """
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
) -> tuple[CalibrationTable, ...]:
    """One table per observer, in their order, from a single pass over the data.

    The model is compiled for this machine with all its float32 tensors as outputs, in a temporary folder, and run once
    per sample. Memory: all tensors of one inference, a histogram of at most 64 KiB for each where an observer needs it,
    and one sample; it does not grow with the number of samples.

    Args:
        model: what shall be quantized, already simplified: the table speaks of the variables of this very module.
        data: as for `read_samples`.
        observers: names of `observer_names()`, or observers with their options.
        samples: at most so many are taken; all of them unless given.
        channels: record the greatest magnitude of each channel too.
        threads: how many work on one inference.
        progress: called often.

    Raises:
        InvalidCalibrationError: the data are empty, unreadable or do not fit the model, or no observer has that name.
        InvalidModelError: two variables of the model share a name.
        CompilerBugError, ToolchainError, UnsupportedModelError: as for `compile`.

    Warns:
        UserWarning: a tensor was NaN or infinite for some sample; it is left out of the table, so it stays float.
    """
    if samples is not None and samples < 1:
        raise InvalidCalibrationError(f"calibration needs 1 sample or more, found samples={samples}")
    chosen = [find_observer(observer) if isinstance(observer, str) else observer for observer in observers]
    report = progress or (lambda title, done, total: None)
    stream = itertools.islice(read_samples(data, model.inputs), samples)
    first = next(stream)  # wrong data should not cost a compilation
    total = count_samples(data)
    total = samples if total is None or (samples is not None and samples < total) else total
    watched: dict[str, _Tensor] = {}
    count = 0
    with tempfile.TemporaryDirectory(prefix="edgecompile-") as folder:
        observed = ObservedModel(model, Path(folder) / "observed", threads, lambda phase: report(phase, 0, None))
        with observed:
            report("calibrate", 0, total)
            for count, sample in enumerate(itertools.chain([first], stream), 1):
                for name, array in observed.run(sample):
                    if name not in watched:
                        watched[name] = _Tensor(chosen, channels)
                    watched[name].update(array, count)
                report("calibrate", count, total)
    _warn_of_lost(watched)
    return tuple(
        CalibrationTable(
            model=model.name,
            fingerprint=fingerprint(model),
            observer=str(observer),
            samples=count,
            tensors={name: tensor.range(position) for name, tensor in watched.items() if tensor.usable},
        )
        for position, observer in enumerate(chosen)
    )


class _Tensor:
    """The statistics of one tensor, each once, whichever observers share it.

    Attributes:
        lost_at: the first sample for which it was not finite, from 1; 0 when there was none.
    """

    def __init__(self, observers: Sequence[Observer], channels: bool) -> None:
        self._observers = observers
        needs = [observer.needs for observer in observers]
        made = {need: need() for need in dict.fromkeys(needs)}
        self._statistics = list(made.values())
        self._statistic_of = [made[need] for need in needs]
        self._channels = ChannelAbsMax() if channels else None
        self._seen = False
        self.lost_at = 0

    @property
    def usable(self) -> bool:
        """True when there were values, all finite."""
        return self._seen and not self.lost_at

    def update(self, array: np.ndarray, sample: int) -> None:
        """Take in the tensor's values for the sample of that number."""
        import numpy as np

        if self.lost_at or not array.size:
            return
        if not (np.isfinite(array.min()) and np.isfinite(array.max())):
            self.lost_at = sample
            return
        self._seen = True
        for statistic in self._statistics:
            statistic.update(array)
        if self._channels:
            self._channels.update(array)

    def range(self, position: int) -> TensorRange:
        """What the observer of that position makes of it."""
        found = self._observers[position].result(self._statistic_of[position])
        peaks = self._channels.values if self._channels else None
        absmax = None if peaks is None else tuple(float(peak) for peak in peaks)
        return TensorRange(low=found.low, high=found.high, channel_absmax=absmax)


def _warn_of_lost(tensors: dict[str, _Tensor]) -> None:
    lost = {name: tensor.lost_at for name, tensor in tensors.items() if tensor.lost_at}
    if lost:
        name, sample = next(iter(lost.items()))
        others = f" and {len(lost) - 1} others" if len(lost) > 1 else ""
        warnings.warn(
            f"tensor {name!r} is NaN or infinite for sample {sample}{others}: left out of the calibration table, so "
            "these stay float",
            stacklevel=3,
        )
