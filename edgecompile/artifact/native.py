"""`NativeExecutor`: the artifact's own library in this process, by ctypes."""

from __future__ import annotations

import ctypes
import os
import statistics
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgecompile.artifact.c_interface import Network
from edgecompile.artifact.dtypes import numpy_dtype
from edgecompile.artifact.executor import Stats, StepTime, stats_of
from edgecompile.artifact.folder import Folder
from edgecompile.artifact.shared_library import SharedLibrary
from edgecompile.errors import RuntimeFailureError

if TYPE_CHECKING:
    import numpy as np


class NativeExecutor:
    """Calls `ec_run` of the library whose bytes were checked.

    Args:
        folder: an artifact of the executor "plan", checked.
        threads: the caller's among them.

    Raises:
        InvalidArtifactError: library or weights are not those of the manifest.
        WrongMachineError: the library finds that the CPU lacks an instruction set.
        RuntimeFailureError: no memory, no threads, or the dynamic loader refuses.
    """

    machine = "native"

    def __init__(self, folder: Folder, threads: int) -> None:
        manifest = folder.manifest
        self.threads = threads
        self._manifest = manifest
        self._weights = os.fsencode(folder.path.absolute() / manifest.weights) if manifest.weights else None
        self._lock = threading.Lock()  # keeps `close` from freeing what `run` uses
        library = SharedLibrary(folder, manifest.library)
        try:
            self._network = Network(library.symbols, manifest)
            self._instance = self._network.open(threads, self._weights, profile=False)
        except BaseException:
            library.close()
            raise
        self._finalizer = weakref.finalize(self, _release, library, self._network, self._instance)

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One inference, see `Executor.run`."""
        outputs = self._outputs()
        with self._alive():
            self._network.check(self._network.api.ec_run(self._instance, _addresses(inputs), _addresses(outputs)))
        return outputs

    def run_many(self, samples: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
        """One inference for each sample, see `Executor.run_many`."""
        return [self.run(inputs) for inputs in samples]

    def bench(self, inputs: Sequence[np.ndarray], repeat: int, warmup: int, threads: int) -> Stats:
        """Times around `ec_run` alone, see `Executor.bench`; another thread count gets an instance of its own."""
        sources, outputs = _addresses(inputs), self._outputs()
        results = _addresses(outputs)
        run, times = self._network.api.ec_run, []
        with self._alive(), self._other_instance(threads, profile=False) as instance:
            for _ in range(warmup):
                self._network.check(run(instance, sources, results))
            for _ in range(repeat):
                start = time.perf_counter_ns()
                status = run(instance, sources, results)
                times.append(time.perf_counter_ns() - start)
                self._network.check(status)
        return stats_of(times, threads, self.machine)

    def time_steps(self, inputs: Sequence[np.ndarray], repeat: int, warmup: int, threads: int) -> list[StepTime]:
        """The library's own clock around each kernel, see `Executor.time_steps`."""
        names = self._network.steps
        sources, outputs = _addresses(inputs), self._outputs()
        results = _addresses(outputs)
        runs: list[list[int]] = []
        with self._alive(), self._other_instance(threads, profile=True) as instance:
            for _ in range(warmup):
                self._network.check(self._network.api.ec_run(instance, sources, results))
            for _ in range(repeat):
                self._network.check(self._network.api.ec_run(instance, sources, results))
                times = self._network.api.ec_step_nanoseconds(instance)
                runs.append([times[step] for step in range(len(names))])
        medians = [statistics.median(step) / 1e6 for step in zip(*runs, strict=True)]
        return [StepTime(index, name, ms) for index, (name, ms) in enumerate(zip(names, medians, strict=True))]

    def close(self) -> None:
        """Free everything, after a run in progress has ended."""
        with self._lock:
            self._finalizer()

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """Hold the lock while the instance is used."""
        with self._lock:
            if not self._finalizer.alive:
                raise RuntimeFailureError("the artifact is closed: open it again")
            yield

    @contextmanager
    def _other_instance(self, threads: int, *, profile: bool) -> Iterator[ctypes.c_void_p]:
        if threads == self.threads and not profile:
            yield self._instance
            return
        instance = self._network.open(threads, self._weights, profile=profile)
        try:
            yield instance
        finally:
            self._network.api.ec_close(instance)

    def _outputs(self) -> list[np.ndarray]:
        import numpy as np

        return [np.empty(entry.shape, numpy_dtype(entry.dtype)) for entry in self._manifest.outputs]  # type: ignore[arg-type]


def _addresses(arrays: Sequence[np.ndarray]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


def _release(library: SharedLibrary, network: Network, instance: ctypes.c_void_p) -> None:
    network.api.ec_close(instance)
    library.close()
