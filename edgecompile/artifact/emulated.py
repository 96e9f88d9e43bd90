"""`EmulatedExecutor`: the artifact's library in an emulator of its target, one process for many samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgecompile.artifact.dtypes import numpy_dtype
from edgecompile.artifact.executor import Stats, StepTime
from edgecompile.artifact.folder import Folder
from edgecompile.artifact.shared_library import PrivateCopy
from edgecompile.errors import InvalidArtifactError, RuntimeFailureError
from edgecompile.family import RunnerResult, family_of

if TYPE_CHECKING:
    import numpy as np

_BATCH_BYTES = 128 * 2**20  # of inputs for one process
_START_SECONDS = 60.0
_RUN_SECONDS = 120.0  # far above any network that fits a board


class EmulatedExecutor:
    """Starts the target family's runner under the target's emulator for each call.

    Args:
        folder: an artifact of the executor "plan", checked.
        threads: of one inference, emulated as threads of this machine.

    Raises:
        RuntimeFailureError: the artifact needs the virtual machine.
    """

    def __init__(self, folder: Folder, threads: int) -> None:
        manifest = folder.manifest
        if manifest.executor == "vm":
            raise RuntimeFailureError(
                f"an emulator cannot run Relax's virtual machine, which {folder.path} needs "
                f"({manifest.executor_reason}): freeze its shapes"
            )
        self.threads = threads
        self.machine = f"emulated by {' '.join(manifest.target.emulator)}" if manifest.target.emulator else "runner"
        self._manifest = manifest
        self._run_library = family_of(manifest.target).run_library
        self._weights = folder.path.absolute() / manifest.weights if manifest.weights else None
        self._library: PrivateCopy | None = PrivateCopy(folder, manifest.library)

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One inference, see `Executor.run`."""
        return self.run_many([inputs])[0]

    def run_many(self, samples: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
        """One inference for each sample, see `Executor.run_many`."""
        return [outputs for batch in self._batches(samples) for outputs in self._run_batch(batch)]

    def bench(self, inputs: Sequence[np.ndarray], repeat: int, warmup: int, threads: int) -> Stats:
        """The runner's own clock, see `Executor.bench`."""
        result = self._start([inputs], threads=threads, repeat=repeat, warmup=warmup)
        return Stats(
            median_ms=result.median_ns / 1e6,
            min_ms=result.min_ns / 1e6,
            p99_ms=result.p99_ns / 1e6,
            mean_ms=None,
            repeat=result.runs,
            threads=threads,
            machine=self.machine,
        )

    def time_steps(self, inputs: Sequence[np.ndarray], repeat: int, warmup: int, threads: int) -> list[StepTime]:
        """Not offered: what an emulator takes for a kernel says nothing about the device."""
        raise RuntimeFailureError("step times need the device itself, an emulator's say nothing about it")

    def close(self) -> None:
        """Remove the copy of the library."""
        if self._library:
            self._library.close()
        self._library = None

    def _batches(self, samples: Sequence[Sequence[np.ndarray]]) -> Iterator[Sequence[Sequence[np.ndarray]]]:
        sample_bytes = sum(array.nbytes for array in samples[0]) if samples else 0
        # A network without input bytes gives no way to count samples: the runner then runs one.
        size = max(1, _BATCH_BYTES // sample_bytes) if sample_bytes else 1
        for start in range(0, len(samples), size):
            yield samples[start : start + size]

    def _run_batch(self, samples: Sequence[Sequence[np.ndarray]]) -> Iterator[list[np.ndarray]]:
        import numpy as np

        raw = self._start(samples, threads=self.threads, repeat=1, warmup=0).outputs
        # Strings among the dimensions are excluded by the manifest of a plan.
        shapes = [tuple(int(dim) for dim in entry.shape) for entry in self._manifest.outputs]
        dtypes = [numpy_dtype(entry.dtype) for entry in self._manifest.outputs]
        sizes = [math.prod(shape) * dtype.itemsize for shape, dtype in zip(shapes, dtypes, strict=True)]
        if len(raw) != len(samples) * sum(sizes):
            raise InvalidArtifactError(
                f"{self._manifest.library} is not the library of this manifest: compile it again"
            )
        start = 0
        for _ in samples:
            outputs = []
            for shape, dtype, size in zip(shapes, dtypes, sizes, strict=True):
                outputs.append(np.frombuffer(raw[start : start + size], dtype).reshape(shape).copy())
                start += size
            yield outputs

    def _start(
        self, samples: Sequence[Sequence[np.ndarray]], *, threads: int, repeat: int, warmup: int
    ) -> RunnerResult:
        if self._library is None:
            raise RuntimeFailureError("the artifact is closed: open it again")
        return self._run_library(
            self._manifest.target,
            self._library.path,
            self._manifest.name,
            b"".join(array.tobytes() for sample in samples for array in sample),
            weights=self._weights,
            threads=threads,
            repeat=repeat,
            warmup=warmup,
            timeout_s=_START_SECONDS + _RUN_SECONDS * (len(samples) * repeat + warmup),
        )
