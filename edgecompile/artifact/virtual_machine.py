"""`VirtualMachineExecutor`: Relax's virtual machine, for models whose shapes are known at run time only."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgecompile.artifact.dtypes import numpy_dtype
from edgecompile.artifact.executor import Stats, StepTime, stats_of
from edgecompile.artifact.folder import Folder
from edgecompile.artifact.shared_library import PrivateCopy
from edgecompile.errors import RuntimeFailureError

if TYPE_CHECKING:
    import numpy as np

_BIG_CORES = 1  # AffinityMode::kBig of threading_backend.h
_POOL = threading.local()


class VirtualMachineExecutor:
    """Runs the function `main` of a library that `tvm.compile(...).export_library` wrote.

    Args:
        folder: an artifact of the executor "vm", checked.
        threads: of TVM's pool.

    Raises:
        RuntimeFailureError: TVM is missing or cannot load the library.
    """

    machine = "Relax virtual machine"

    def __init__(self, folder: Folder, threads: int) -> None:
        self.threads = threads
        self._manifest = folder.manifest
        self._lock = threading.Lock()  # the virtual machine keeps one set of registers
        try:
            import tvm
            from tvm.relax import VirtualMachine
        except ImportError as error:
            raise RuntimeFailureError(
                f"{folder.path} needs TVM at run time ({folder.manifest.executor_reason}): pip install apache-tvm"
            ) from error
        copy = PrivateCopy(folder, folder.manifest.library)
        try:
            self._tvm: Any = tvm
            self._machine: Any = VirtualMachine(tvm.runtime.load_module(str(copy.path)), tvm.cpu())
        except Exception as error:  # TVM raises bare RuntimeError, OSError, ValueError and its own kinds
            raise RuntimeFailureError(f"TVM cannot load {folder.manifest.library}: {_first_line(error)}") from error
        finally:
            copy.close()  # the loader keeps the file's pages, not its name

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One inference, see `Executor.run`."""
        with self._lock:
            self._use_threads(self.threads)
            flat = _flatten(self._call(self._tensors(inputs)))
        if len(flat) != len(self._manifest.outputs):
            raise RuntimeFailureError(f"needed {len(self._manifest.outputs)} outputs, the library gave {len(flat)}")
        return [
            tensor.numpy().view(numpy_dtype(entry.dtype))
            for tensor, entry in zip(flat, self._manifest.outputs, strict=True)
        ]

    def run_many(self, samples: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
        """One inference for each sample, see `Executor.run_many`."""
        return [self.run(inputs) for inputs in samples]

    def bench(self, inputs: Sequence[np.ndarray], repeat: int, warmup: int, threads: int) -> Stats:
        """Times around the call of `main`, see `Executor.bench`."""
        times: list[int] = []
        with self._lock:
            self._use_threads(threads)
            tensors = self._tensors(inputs)
            for _ in range(warmup):
                self._call(tensors)
            for _ in range(repeat):
                start = time.perf_counter_ns()
                self._call(tensors)
                times.append(time.perf_counter_ns() - start)
        return stats_of(times, threads, self.machine)

    def time_steps(self, inputs: Sequence[np.ndarray], repeat: int, warmup: int, threads: int) -> list[StepTime]:
        """Not possible: the virtual machine has no list of steps."""
        raise RuntimeFailureError(
            "step times need a static plan, and Relax's virtual machine runs this artifact "
            f"({self._manifest.executor_reason}): freeze its shapes"
        )

    def close(self) -> None:
        """Free the virtual machine."""
        with self._lock:
            self._machine = None

    def _use_threads(self, threads: int) -> None:
        """Size the pool; TVM keeps one for each thread that calls it, shared by all modules."""
        if getattr(_POOL, "threads", None) != threads:
            self._tvm.get_global_func("runtime.config_threadpool")(_BIG_CORES, threads)
            _POOL.threads = threads

    def _tensors(self, inputs: Sequence[np.ndarray]) -> list[Any]:
        return [self._tvm.runtime.tensor(array) for array in inputs]

    def _call(self, tensors: Sequence[Any]) -> Any:
        if self._machine is None:
            raise RuntimeFailureError("the artifact is closed: open it again")
        try:
            return self._machine["main"](*tensors)
        except Exception as error:  # as above
            raise RuntimeFailureError(f"Relax's virtual machine failed: {_first_line(error)}") from error


def _flatten(value: Any) -> list[Any]:
    """The tensors of a result, whose tuples may be nested."""
    if hasattr(value, "numpy"):
        return [value]
    return [tensor for part in value for tensor in _flatten(part)]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
