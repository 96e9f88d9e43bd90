"""The programs whose instructions are counted: one network, run as often as asked."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

import edgecompile as ec
from edgecompile import zoo
from edgecompile.errors import InvalidInputError, OutputError, ToolchainError
from edgecompile.settings import cache_directory
from edgecompile.target import Target
from scripts.bench.case import Case
from targets.cpu.runner import build_runner
from targets.cpu.runtime_objects import cached_program
from targets.cpu.toolchain import find_toolchain

_SOURCE = Path(__file__).with_name("run_onnx.c")
_DOWNLOAD_SECONDS = 600
_CALIBRATION_INPUTS = 4  # normal numbers with a fixed seed: instructions do not depend on what they are

Precision = Literal["float32", "int8"]


class Runtime(Protocol):
    """One network in one runtime.

    Attributes:
        name, version: for the table.
        library: holds the kernels.
    """

    name: str
    version: str
    library: Path

    def command(self, runs: int, output: Path) -> list[str]:
        """A program of the target and its arguments; it writes the last answer, raw, to `output`."""
        ...


class EdgeCompile:
    """The network compiled for the target; built into `folder`, which gets its input too."""

    name = "edgecompile"

    def __init__(self, case: Case, target: Target, folder: Path, precision: Precision = "float32") -> None:
        built = folder / f"{case.name}-{precision}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the table shows the difference
            module, examples = zoo.build(case.name)
            model = ec.load(module, example_inputs=examples, name=case.name)
            if precision == "int8":
                model = ec.compress(model, "int8", data=_calibration_inputs(case))
            artifact = ec.compile(model, target=target.name, out=built)
        manifest = artifact.manifest
        self.version = importlib.metadata.version("edgecompile")
        self.library = built / manifest.library
        self._input = _write_input(case, folder)
        self._words = [str(build_runner(target)), str(self.library), manifest.name, str(self._input)]
        self._weights = ["--weights", str(built / manifest.weights)] if manifest.weights else []

    def command(self, runs: int, output: Path) -> list[str]:
        return [*self._words, str(output), *self._weights, "--repeat", str(runs)]


class OnnxRuntime:
    """The wheel for AArch64 of the version that is installed here, one thread, all graph optimizations.

    Raises:
        ToolchainError: the wheel cannot be had, or there is no compiler for the target.
    """

    name = "ONNX Runtime"

    def __init__(self, case: Case, target: Target, folder: Path) -> None:
        self.version = importlib.metadata.version("onnxruntime")
        self.library = _fetch_library(self.version)
        self._program = cached_program(find_toolchain(target), _SOURCE, libraries=("-ldl",))
        self._input = _write_input(case, folder)
        (array,) = case.inputs.values()
        self._words = [str(self.library), str(case.onnx), str(self._input)]
        self._dimensions = [str(extent) for extent in array.shape]

    def command(self, runs: int, output: Path) -> list[str]:
        return [str(self._program), *self._words, str(output), str(runs), *self._dimensions]


def _calibration_inputs(case: Case) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    (array,) = case.inputs.values()
    return [rng.standard_normal(array.shape).astype(np.float32) for _ in range(_CALIBRATION_INPUTS)]


def _write_input(case: Case, folder: Path) -> Path:
    """The case's one input, raw.

    Raises:
        InvalidInputError: it has several, or not of float32, or several outputs.
    """
    arrays = list(case.inputs.values())
    if len(arrays) != 1 or arrays[0].dtype != np.float32 or len(case.expected) != 1:
        raise InvalidInputError(f"networks of one float32 input and one output are counted, '{case.name}' is another")
    path = folder / f"{case.name}.input"
    path.write_bytes(arrays[0].tobytes())
    return path


def _fetch_library(version: str) -> Path:
    """`libonnxruntime.so` of the wheel for AArch64, downloaded once."""
    folder = cache_directory() / "instructions" / f"onnxruntime-{version}-aarch64"
    library = folder / "libonnxruntime.so"
    if library.exists():
        return library
    with tempfile.TemporaryDirectory(prefix="onnxruntime-") as place:
        asked = ["--platform", "manylinux_2_28_aarch64", "--only-binary=:all:", "--no-deps", "--dest", place]
        command = [sys.executable, "-m", "pip", "download", "--quiet", *asked, f"onnxruntime=={version}"]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise ToolchainError(f"pip did not fetch ONNX Runtime within {_DOWNLOAD_SECONDS} s") from error
        wheels = list(Path(place).glob("*.whl"))
        if result.returncode != 0 or not wheels:
            said = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise ToolchainError(f"pip cannot fetch ONNX Runtime {version} for AArch64: {said}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(wheels[0]) as wheel:
                member = f"onnxruntime/capi/libonnxruntime.so.{version}"
                partial = library.with_suffix(".partial")
                partial.write_bytes(wheel.read(member))
            partial.replace(library)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise OutputError(f"cannot unpack ONNX Runtime's wheel into {folder}: {error}") from error
    return library
