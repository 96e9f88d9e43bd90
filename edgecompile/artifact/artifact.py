"""`Artifact`: a compiled model that can be run, timed and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgecompile.artifact import report as reports
from edgecompile.artifact.executor import Executor, Stats, StepTime
from edgecompile.artifact.folder import Folder
from edgecompile.artifact.inputs import bind_inputs
from edgecompile.artifact.manifest import REPORT_NAME, SELFTEST_NAME, Manifest, TensorEntry
from edgecompile.artifact.profile import Profile, profile_of
from edgecompile.artifact.report import Report
from edgecompile.artifact.selftest import SelfTest, read_selftest
from edgecompile.artifact.verify import VerifyResult, compare
from edgecompile.errors import EdgeCompileError, InvalidArtifactError, InvalidInputError
from edgecompile.family import family_of
from edgecompile.roofline import Roofline
from edgecompile.target import find_target

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
        _check_numbers("bench", repeat, warmup, threads)
        return self._executor.bench(self._sample(inputs), repeat, warmup, threads or self.threads)

    def time_steps(
        self,
        repeat: int = 10,
        warmup: int = 5,
        threads: int | None = None,
        inputs: Mapping[str, np.ndarray] | None = None,
    ) -> list[StepTime]:
        """The median time of each kernel call over `repeat` inferences; arguments as for `bench`.

        Raises:
            InvalidInputError: a number is out of its range.
            RuntimeFailureError: an emulator or the virtual machine runs this artifact; neither can tell.
        """
        _check_numbers("time_steps", repeat, warmup, threads)
        return self._executor.time_steps(self._sample(inputs), repeat, warmup, threads or self.threads)

    def profile(
        self,
        repeat: int = 50,
        warmup: int = 5,
        threads: int | None = None,
        inputs: Mapping[str, np.ndarray] | None = None,
        *,
        measure_again: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> Profile:
        """What each kernel call costs, beside the least that this machine could need for it.

        Args:
            repeat, warmup, threads, inputs: as for `bench`.
            measure_again: this machine's peak and bandwidth, even where the cache has them.
            progress: called with the name of each phase as it begins.

        Raises:
            InvalidArtifactError: the artifact has no report, or one of another library.
            InvalidInputError: a number is out of its range.
            RuntimeFailureError: an emulator or the virtual machine runs this artifact; neither can tell.
        """
        tell = progress or (lambda phase: None)
        report = self.report
        tell("time the kernels")
        times = self.time_steps(repeat, warmup, threads, inputs)
        tell("measure this machine")
        return profile_of(
            report,
            times,
            self.manifest.weight_bytes + self.manifest.arena_bytes,
            repeat=repeat,
            threads=threads or self.threads,
            roofline=_roofline_here(threads or self.threads, measure_again),
        )

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
            *([f"  decoded {manifest.decoded_bytes:,} bytes"] if manifest.decoded_bytes else []),
            f"  arena   {manifest.arena_bytes:,} bytes",
        ]
        return "\n".join(lines)

    def _sample(self, inputs: Mapping[str, np.ndarray] | None) -> list[np.ndarray]:
        return bind_inputs(self.inputs, (self.selftest.inputs if inputs is None else inputs,), {})

    def _read(self, name: str) -> bytes:
        if name not in self.manifest.files:
            raise InvalidArtifactError(f"{self.path} has no {name}: compile the model again")
        return self._folder.read(name)


def _check_numbers(what: str, repeat: int, warmup: int, threads: int | None) -> None:
    if repeat < 1 or warmup < 0 or (threads is not None and not 1 <= threads <= 1024):
        raise InvalidInputError(
            f"{what} needs repeat of at least 1, warmup of at least 0 and threads from 1 to 1024, found "
            f"repeat {repeat}, warmup {warmup}, threads {threads}"
        )


def _roofline_here(threads: int, again: bool) -> Roofline | str:
    """What this machine can do, or why that could not be measured: times are worth showing without it."""
    try:
        here = find_target("host")
        return family_of(here).measure_roofline(here, threads, again=again)
    except EdgeCompileError as error:
        return str(error)
