"""`Artifact`: a compiled model that can be run, timed and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgecompile.artifact import report as reports
from edgecompile.artifact.executor import Executor, Stats, StepTime
from edgecompile.artifact.folder import Folder
from edgecompile.artifact.inputs import bind_inputs
from edgecompile.artifact.manifest import REPORT_NAME, SELFTEST_NAME, Manifest, TensorEntry
from edgecompile.artifact.report import Report
from edgecompile.artifact.selftest import SelfTest, read_selftest
from edgecompile.artifact.verify import VerifyResult, compare
from edgecompile.errors import InvalidArtifactError, InvalidInputError

if TYPE_CHECKING:
    import numpy as np


class Artifact:
    """An opened artifact; `edgecompile.open` and `edgecompile.compile` make it.

    It may be shared by threads: inferences on one `Artifact` run one after another. Close it, or use it in a `with`
    statement, to free its memory and threads at a known time.

    Attributes:
        path: the artifact's folder.
        manifest: everything that `manifest.json` says.
        threads: how many work on one inference.
    """

    def __init__(self, folder: Folder, executor: Executor) -> None:
        self.path: Path = folder.path
        self.manifest: Manifest = folder.manifest
        self._folder = folder
        self._executor = executor

    @property
    def inputs(self) -> tuple[TensorEntry, ...]:
        """Names, shapes and dtypes of the inputs."""
        return self.manifest.inputs

    @property
    def outputs(self) -> tuple[TensorEntry, ...]:
        """Names, shapes and dtypes of the outputs."""
        return self.manifest.outputs

    @property
    def threads(self) -> int:
        """How many threads work on one inference."""
        return self._executor.threads

    @property
    def report(self) -> Report:
        """How each kernel came to be, from `report.json`.

        Raises:
            InvalidArtifactError: the artifact has none, or it changed since it was written.
        """
        return reports.decode(self._read(REPORT_NAME))

    @property
    def selftest(self) -> SelfTest:
        """The recorded inputs and outputs, from `selftest.npz`.

        Raises:
            InvalidArtifactError: the artifact has none, or it changed since it was written.
        """
        return read_selftest(self._read(SELFTEST_NAME), self.manifest)

    def run(self, /, *arrays: Any, **by_name: Any) -> list[np.ndarray]:
        """One inference.

        Args:
            arrays: the inputs in order, or one mapping from names to inputs.
            by_name: inputs by name.

        Returns:
            One new array for each output, in order.

        Raises:
            InvalidInputError: number, names, dtypes or shapes are wrong; nothing is converted silently.
            RuntimeFailureError: the library failed.
        """
        return self._executor.run(bind_inputs(self.inputs, arrays, by_name))

    def run_many(self, samples: Iterable[Any]) -> list[list[np.ndarray]]:
        """One inference for each sample; under an emulator much faster than one `run` for each.

        Args:
            samples: each an array, a tuple of arrays in the order of the inputs, or a mapping from names.

        Raises:
            InvalidInputError, RuntimeFailureError: as for `run`; nothing is run when a sample is wrong.
        """
        checked = [
            bind_inputs(self.inputs, sample if isinstance(sample, tuple) else (sample,), {}) for sample in samples
        ]
        return self._executor.run_many(checked)

    def bench(
        self,
        repeat: int = 50,
        warmup: int = 5,
        threads: int | None = None,
        inputs: Mapping[str, np.ndarray] | None = None,
    ) -> Stats:
        """Time `repeat` inferences after `warmup` that do not count.

        Args:
            threads: another number than the artifact was opened with.
            inputs: what to run on; those of the self-test unless given.

        Raises:
            InvalidInputError: a number is out of its range.
        """
        if repeat < 1 or warmup < 0 or (threads is not None and not 1 <= threads <= 1024):
            raise InvalidInputError(
                "bench needs repeat of at least 1, warmup of at least 0 and threads from 1 to 1024, found "
                f"repeat {repeat}, warmup {warmup}, threads {threads}"
            )
        return self._executor.bench(self._sample(inputs), repeat, warmup, threads or self.threads)

    def profile(self, repeat: int = 10, inputs: Mapping[str, np.ndarray] | None = None) -> list[StepTime]:
        """The median time of each kernel call over `repeat` inferences.

        Raises:
            RuntimeFailureError: an emulator or the virtual machine runs this artifact; neither can tell.
        """
        if repeat < 1:
            raise InvalidInputError(f"profile needs repeat of at least 1, found {repeat}")
        return self._executor.profile(self._sample(inputs), repeat)

    def verify(self) -> VerifyResult:
        """Run the self-test and compare with what was recorded at compile time."""
        selftest = self.selftest
        outputs = self._executor.run(bind_inputs(self.inputs, (selftest.inputs,), {}))
        return compare(self.manifest, selftest, outputs, self._executor.machine)

    def close(self) -> None:
        """Free memory and threads; may be called twice."""
        self._executor.close()

    def __enter__(self) -> Artifact:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Artifact {self.manifest.name!r} for {self.manifest.target.name} at {str(self.path)!r}>"

    def __str__(self) -> str:
        manifest = self.manifest
        where = "embedded" if manifest.weights_embedded else "in a file"
        lines = [
            f"{manifest.name} for {manifest.target.name}, {self._executor.machine}, threads: {self.threads}",
            *(f"  input   {entry}" for entry in self.inputs),
            *(f"  output  {entry}" for entry in self.outputs),
            f"  library {manifest.files[manifest.library].bytes:,} bytes",
            f"  weights {manifest.weight_bytes:,} bytes, {where}",
            f"  arena   {manifest.arena_bytes:,} bytes",
        ]
        return "\n".join(lines)

    def _sample(self, inputs: Mapping[str, np.ndarray] | None) -> list[np.ndarray]:
        return bind_inputs(self.inputs, (self.selftest.inputs if inputs is None else inputs,), {})

    def _read(self, name: str) -> bytes:
        if name not in self.manifest.files:
            raise InvalidArtifactError(f"{self.path} has no {name}: compile the model again")
        return self._folder.read(name)
