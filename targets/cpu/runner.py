"""The board runner: raw samples in, raw outputs and timings out, natively or emulated."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgecompile.errors import InvalidArtifactError, RuntimeFailureError
from edgecompile.target import Target
from targets.cpu.bionic import need_ndk
from targets.cpu.emulator import run_program
from targets.cpu.runtime_objects import RUNTIME_FOLDER, cached_program
from targets.cpu.toolchain import find_toolchain

_SOURCE = RUNTIME_FOLDER / "runner" / "runner.c"
_LIBRARY_FAILED = 1  # runner.c: the library reported a failure


@dataclass(frozen=True)
class RunnerResult:
    """What one call of the runner gave.

    Attributes:
        outputs: of all samples, one after another, each sample's outputs one after another.
        runs: inferences that were timed.
        median_ns: of one inference.
        min_ns: of one inference.
        p99_ns: of one inference.
    """

    outputs: bytes
    runs: int
    median_ns: int
    min_ns: int
    p99_ns: int


def build_runner(target: Target) -> Path:
    """The runner's executable for `target`, from the cache.

    Raises:
        ToolchainError: no compiler for the target, or it failed.
        OutputError: the cache cannot be written.
    """
    toolchain = find_toolchain(target)
    need_ndk(target, toolchain, "the runner")
    return cached_program(toolchain, _SOURCE, libraries=("-ldl",))


def run_library(
    target: Target,
    library: Path,
    name: str,
    samples: bytes,
    *,
    weights: Path | None = None,
    threads: int = 1,
    repeat: int = 1,
    warmup: int = 0,
    timeout_s: float = 300,
) -> RunnerResult:
    """Run `lib<name>.so` on samples, on this machine or under the target's emulator.

    Args:
        target: what the library was built for.
        library: the shared library.
        name: of the network.
        samples: one after another, each sample its inputs one after another, dense.
        weights: the weights file, unless embedded.
        threads: for `ec_open`.
        repeat: how often all samples are run.
        warmup: untimed runs of the first sample.
        timeout_s: seconds for everything.

    Raises:
        ToolchainError: no compiler or emulator.
        RuntimeFailureError: the library reported a failure, crashed, or took too long.
        InvalidArtifactError: the library or the samples do not fit.
    """
    runner = build_runner(target)
    with tempfile.TemporaryDirectory(prefix="edgecompile-run-") as folder:
        inputs, outputs = Path(folder, "inputs"), Path(folder, "outputs")
        inputs.write_bytes(samples)
        options = {"--threads": str(threads), "--repeat": str(repeat), "--warmup": str(warmup)}
        if weights is not None:
            options["--weights"] = str(weights.resolve())
        flat = [word for option in options.items() for word in option]
        arguments = [str(runner), str(library.resolve()), name, str(inputs), str(outputs), *flat]
        result = run_program(target, arguments, timeout_s=timeout_s)
        if result.returncode != 0:
            said = (result.stderr.strip().splitlines() or ["no message"])[-1]
            kind = RuntimeFailureError if result.returncode == _LIBRARY_FAILED else InvalidArtifactError
            raise kind(f"lib{name}.so for '{target.name}': {said}")
        return RunnerResult(outputs=outputs.read_bytes(), **json.loads(result.stdout))
