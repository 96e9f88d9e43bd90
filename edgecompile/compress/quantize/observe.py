"""`observe`: one pass of a float model over data, which serves every observer of every tensor."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecompile.compress.activations.observed_model import ObservedModel
from edgecompile.compress.quantize.fingerprint import fingerprint
from edgecompile.compress.quantize.observers import Observer
from edgecompile.compress.quantize.observers.channel_absmax import ChannelAbsMax
from edgecompile.compress.quantize.table import CalibrationTable, TensorRange
from edgecompile.compress.samples.data import Data, count_samples, read_samples
from edgecompile.errors import InvalidCalibrationError
from edgecompile.frontend.model import Model

if TYPE_CHECKING:
    import numpy as np

#: Called with what is being done, how much of it is done, and of how much; 0 and None where there is no count.
Progress = Callable[[str, int, "int | None"], None]


class Observation:
    """What one tensor was: each statistic once, whichever observers share it.

    Args:
        observers: those that may be asked for a range.
        channels: take the greatest magnitude of each channel too.

    Attributes:
        lost_at: the first sample, from 1, for which a value was NaN or infinite; 0 when there was none. The statistics
            end there.
    """

    def __init__(self, observers: Sequence[Observer], channels: bool) -> None:
        self._statistics: dict[Callable[[], Any], Any] = {
            need: need() for need in dict.fromkeys(observer.needs for observer in observers)
        }
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
        for statistic in self._statistics.values():
            statistic.update(array)
        if self._channels:
            self._channels.update(array)

    def statistic(self, observer: Observer) -> Any:
        """What that observer, one of those given, chooses the range by: a `Histogram` for most."""
        return self._statistics[observer.needs]

    def range(self, observer: Observer) -> TensorRange:
        """The range that the observer, one of those given, chooses."""
        found = observer.result(self.statistic(observer))
        peaks = self._channels.values if self._channels else None
        absmax = None if peaks is None else tuple(float(peak) for peak in peaks)
        return TensorRange(low=found.low, high=found.high, channel_absmax=absmax)


@dataclass(frozen=True)
class Observations:
    """What the tensors of a model were.

    Attributes:
        model: its name.
        fingerprint: of its module.
        samples: how many inferences were observed.
        tensors: by variable of `main`, in order of execution, the inputs first.
    """

    model: str
    fingerprint: str
    samples: int
    tensors: Mapping[str, Observation]

    def table(self, observer: Observer) -> CalibrationTable:
        """The ranges that the observer, one of those given to `observe`, chooses."""
        return CalibrationTable(
            model=self.model,
            fingerprint=self.fingerprint,
            observer=str(observer),
            samples=self.samples,
            tensors={name: tensor.range(observer) for name, tensor in self.tensors.items() if tensor.usable},
        )


def observe(
    model: Model,
    data: Data,
    *,
    observers: Sequence[Observer],
    samples: int | None = None,
    channels: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
    observed: ObservedModel | None = None,
) -> Observations:
    """Run the model on the data and take the statistics that the observers need, of every float32 tensor.

    The model is compiled for this machine with all its float32 tensors as outputs, in a temporary folder, and run once
    per sample. Memory: all tensors of one inference, twice; for each a histogram of at most 64 KiB where an observer
    needs it; and one sample. It does not grow with the number of samples.

    Args, Raises, Warns: as for `calibrate_each`; `observed` is the model compiled already, which stays open.
    """
    if samples is not None and samples < 1:
        raise InvalidCalibrationError(f"calibration needs 1 sample or more, found samples={samples}")
    report = progress or (lambda title, done, total: None)
    stream = itertools.islice(read_samples(data, model.inputs), samples)
    first = next(stream)  # wrong data should not cost a compilation
    total = min((count for count in (count_samples(data), samples) if count is not None), default=None)
    tensors: dict[str, Observation] = {}
    count = 0
    with contextlib.ExitStack() as stack:
        if observed is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgecompile-"))
            compiled = ObservedModel(model, Path(folder) / "observed", threads, lambda phase: report(phase, 0, None))
            observed = stack.enter_context(compiled)
        for count, sample in enumerate(itertools.chain([first], stream), 1):
            for name, array in observed.run(sample):
                if name not in tensors:
                    tensors[name] = Observation(observers, channels)
                tensors[name].update(array, count)
            # An array with many samples in it counts as one before it is read.
            report("calibrate", count, total if total is not None and count <= total else None)
    _warn_of_lost(tensors)
    return Observations(model.name, fingerprint(model), count, tensors)


def _warn_of_lost(tensors: Mapping[str, Observation]) -> None:
    lost = {name: tensor.lost_at for name, tensor in tensors.items() if tensor.lost_at}
    if lost:
        name, sample = next(iter(lost.items()))
        others = f", and so are {len(lost) - 1} more" if len(lost) > 1 else ""
        warnings.warn(
            f"tensor {name!r} is NaN or infinite for sample {sample}{others}: left out of the calibration table, they "
            "stay float",
            stacklevel=4,
        )
