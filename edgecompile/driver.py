"""`compile`: a model to an artifact.

The only place that knows the order of the steps; each step is a function elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from edgecompile.artifact.artifact import Artifact
from edgecompile.artifact.describe import describe_compression, describe_plan, describe_virtual_machine
from edgecompile.artifact.machine import runs_here
from edgecompile.artifact.manifest import REPORT_NAME, Facts, TensorEntry
from edgecompile.artifact.open import open as open_artifact
from edgecompile.artifact.open import open_elsewhere
from edgecompile.artifact.report import Report
from edgecompile.artifact.selftest import SelfTest, write_selftest
from edgecompile.artifact.verify import relative_difference
from edgecompile.artifact.write import seal, staging
from edgecompile.errors import CompilerBugError, EdgeCompileError, InvalidInputError
from edgecompile.family import EmittedFiles, Family, family_of
from edgecompile.frontend.model import Model, TensorSpec, check_model
from edgecompile.implementation import Preference
from edgecompile.passes import Lowered, lower
from edgecompile.plan import ExecutionPlan, build_plan
from edgecompile.plan.static_program import why_not_static
from edgecompile.sample_inputs import sample_inputs
from edgecompile.schedule import kernels_of, schedule_kernels
from edgecompile.target import Target, find_target
from edgecompile.tune.choose import MeasuredChoice, Tune, check_can_tune

if TYPE_CHECKING:
    import numpy as np

Progress = Callable[[str], None]


def compile(
    model: Model,
    target: str | Target = "host",
    out: str | os.PathLike[str] = "",
    *,
    threads: int = 1,
    embed_weights: bool = False,
    prefer: Preference = "speed",
    tune: Tune | None = None,
    records: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Artifact:
    """Compile a model for a device and write the artifact.

    Args:
        model: from `load`.
        target: a name of `targets()`, with overrides ("rpi4,num_cores=2"), or a `Target`.
        out: the folder to write; an artifact that is there is replaced when the new one is complete.
        threads: how many work on one inference unless the artifact's user says otherwise.
        embed_weights: put the weights into the library instead of a file beside it.
        prefer: "size" leaves out ways to compute a layer that make its weights larger, such as Winograd convolution.
        tune: "quick" measures on this machine, within half a minute, which way to compute each layer is the fastest,
            adds what it finds to `records` and chooses by them. Layers that have records are not measured again.
        records: the file with measured times by which kernels are chosen; a folder holds one file for each family of
            targets. Without it, `tune` uses the user's cache folder, and a compilation without `tune` estimates.
        progress: called with the name of each phase as it begins.

    Raises:
        UnknownTargetError, ToolchainError, UnsupportedModelError, OutputError: nothing was written.
        InvalidRecordsError: the same; `records` cannot be read.
        WrongMachineError: the same; `tune` needs a machine that can run the target's code.
        CompilerBugError: the same, where the fault is not the user's; the message names the phase.
    """
    check_model(model, "compile")
    if not out:
        raise InvalidInputError("compile needs the folder to write, found none: give out='build/net'")
    if not 1 <= threads <= 1024:
        raise InvalidInputError(f"threads must be from 1 to 1024, found {threads}")
    if prefer not in get_args(Preference):
        raise InvalidInputError(f"prefer must be one of {', '.join(get_args(Preference))}, found {prefer!r}")
    if tune not in (None, *get_args(Tune)):
        raise InvalidInputError(f"tune must be None or one of {', '.join(get_args(Tune))}, found {tune!r}")
    device = find_target(target) if isinstance(target, str) else target
    if tune is not None:
        check_can_tune(device)
    report_progress = progress or (lambda phase: None)
    with staging(out) as folder:
        build = _Build(model, device, folder, threads, embed_weights, prefer, report_progress)
        if tune is not None or records is not None:
            build.choice = MeasuredChoice(records, device, threads)
        with _typed_errors(build):
            build.run(tune)
    return open_artifact(out) if runs_here(device) else open_elsewhere(out)


class _Build:
    """One compilation into a staging folder."""

    def __init__(
        self,
        model: Model,
        target: Target,
        folder: Path,
        threads: int,
        embed_weights: bool,
        prefer: Preference,
        progress: Progress,
    ) -> None:
        self.model = model
        self.target = target
        self.family: Family = family_of(target)
        self.folder = folder
        self.threads = threads
        self.embed_weights = embed_weights
        self.prefer = prefer
        self.choice: MeasuredChoice | None = None
        self.phase = "set-up"
        self.in_callback = False
        self.warnings: list[str] = []
        self._tell = progress

    def progress(self, phase: str) -> None:
        """Begin a phase."""
        self.phase = phase
        self.in_callback = True
        self._tell(phase)
        self.in_callback = False

    def run(self, tune: Tune | None) -> None:
        watch = None
        if self.choice is not None:
            if tune is not None:
                self.choice.tune(self.model.module, self.model.weight_bytes, self.progress)
            watch = self.choice.read()
        phases = self.family.phases(self.target, watch, self.prefer)
        lowered = lower(self.model.module, phases, self.family.tvm_target(self.target), self.progress)
        reason = why_not_static(lowered.module)
        facts, report = self._emit_plan(lowered) if reason is None else self._emit_virtual_machine(lowered, reason)
        self._record_selftest(facts, report)

    def _emit_plan(self, lowered: Lowered) -> tuple[Facts, Report]:
        self.progress("schedule")
        kernels = kernels_of(lowered.module)
        scheduled = schedule_kernels(kernels, self.family.rules(self.target), self.target, lowered.decisions)
        self.progress("generate code")
        ready = self.family.lower_kernels(scheduled, self.family.tvm_target(self.target))
        plan = build_plan(
            lowered.module,
            name=self.model.name,
            inputs=self.model.inputs,
            outputs=self.model.outputs,
            scratch_bytes={name: kernel.scratch_bytes for name, kernel in ready.items()},
            origins=lowered.origins,
        )
        files = self.family.emit(plan, ready, self.target, self.folder, embed_weights=self.embed_weights)
        report = describe_plan(plan, kernels, lowered.decisions, self.warnings)
        return self._facts(files, "", plan), report

    def _emit_virtual_machine(self, lowered: Lowered, reason: str) -> tuple[Facts, Report]:
        self._warn(f"the model runs on Relax's virtual machine and needs TVM on the device: {reason}")
        self.progress("generate code")
        files = self.family.emit_virtual_machine(lowered.module, self.model.name, self.target, self.folder)
        return self._facts(files, reason, None), describe_virtual_machine(reason, lowered.decisions, self.warnings)

    def _facts(self, files: EmittedFiles, reason: str, plan: ExecutionPlan | None) -> Facts:
        return Facts(
            name=self.model.name,
            executor="vm" if reason else "plan",
            executor_reason=reason,
            inputs=_entries(self.model.inputs),
            outputs=_entries(self.model.outputs),
            target=self.target,
            versions=_versions(self.model),
            source=self.model.source,  # type: ignore[arg-type]  # the manifest checks it
            opset=self.model.opset,
            recipe={"steps": [dict(step.recipe) for step in self.model.history]} if self.model.history else None,
            records=self.choice.used if self.choice else (),
            threads=self.threads,
            prefer=self.prefer,
            arena_bytes=plan.memory.arena_bytes if plan else 0,
            weight_bytes=len(plan.constants.data) if plan else self.model.weight_bytes,
            decoded_bytes=plan.decoded_bytes if plan else 0,
            weights_embedded=files.weights is None,
            library=files.library,
            static_library=files.static_library,
            headers=files.headers,
            weights=files.weights,
            reference_name=self.model.reference_name if self.model.reference else "",
            reference_tolerance=_reference_tolerance(self.model),
        )

    def _record_selftest(self, facts: Facts, report: Report) -> None:
        """Write the self-test and the manifest; the library itself says what the compiled model answers."""
        self.progress("self-test")
        inputs = sample_inputs(self.model)
        reference = self._reference(list(inputs.values()))
        self._complete(facts, report, SelfTest(inputs, reference, {}))
        if not runs_here(self.target):
            return
        with open_artifact(self.folder) as artifact:
            outputs = artifact.run(*inputs.values())
        compiled = {spec.name: array for spec, array in zip(self.model.outputs, outputs, strict=True)}
        for name, array in reference.items():
            difference = relative_difference(compiled[name], array)
            if not difference <= facts.reference_tolerance:
                self._warn(f"output {name!r} differs from {facts.reference_name} by {difference:.2g} of its range")
        self._complete(facts, report, SelfTest(inputs, reference, compiled))

    def _complete(self, facts: Facts, report: Report, selftest: SelfTest) -> None:
        """Write the files that wait for the last warning, and the manifest over all."""
        write_selftest(self.folder, selftest)
        final = report.model_copy(
            update={"warnings": tuple(self.warnings), "compression": describe_compression(self.model.history)}
        )
        (self.folder / REPORT_NAME).write_bytes(final.encode())
        seal(self.folder, facts)

    def _reference(self, inputs: list[np.ndarray]) -> dict[str, np.ndarray]:
        # Numbers from nowhere say nothing of a compressed model: its ranges were chosen for others.
        if self.model.reference is None or (self.model.history and not self.model.sample_inputs):
            return {}
        try:
            outputs = self.model.reference(inputs)
        except EdgeCompileError:
            raise
        except Exception as error:  # a framework may raise anything
            self._warn(f"{self.model.reference_name} cannot run the model on the self-test's inputs: {_line(error)}")
            return {}
        return {spec.name: array for spec, array in zip(self.model.outputs, outputs, strict=True)}

    def _warn(self, text: str) -> None:
        self.warnings.append(text)
        warnings.warn(text, stacklevel=5)


@contextlib.contextmanager
def _typed_errors(build: _Build) -> Iterator[None]:
    """Say in which phase TVM or another library failed in a way that nothing foresaw.

    Raises:
        CompilerBugError: in place of an exception of a foreign kind; those of the system, such as a full disk, stay.
    """
    try:
        yield
    except (EdgeCompileError, OSError, MemoryError, Warning):
        raise
    except Exception as error:
        if build.in_callback:  # the caller's own
            raise
        raise CompilerBugError(
            f"compiling {build.model.name!r} for {build.target.name} failed at {build.phase!r}: "
            f"{type(error).__name__}: {_line(error)}"
        ) from error


def _entries(specs: Sequence[TensorSpec]) -> tuple[TensorEntry, ...]:
    return tuple(TensorEntry(name=spec.name, shape=spec.shape, dtype=spec.dtype) for spec in specs)  # type: ignore[arg-type]


def _versions(model: Model) -> dict[str, str]:
    framework = {"onnx": "onnx", "torch": "torch"}[model.source]
    names = ("edgecompile", "apache-tvm", "apache-tvm-ffi", framework)
    return {name: importlib.metadata.version(name) for name in names}


def _reference_tolerance(model: Model) -> float:
    """How far an output may be from the reference, as a part of the range.

    1e-4 for float32, whose sums of some thousand terms stay below it; 1e-2 for formats of 8 to 11 bits. Of a compressed
    model the reference is the uncompressed one: a quarter only tells a lossy model from a broken one. What compression
    costs is measured when it is done, and that nothing else changes is what the compiled model's own answers are for.
    A model that came quantized has a reference that rounds as often: a tenth, since a sum between two integers that
    falls to the other side in an early layer moves many after it.
    """
    if any(decision.kept for step in model.history for decision in step.decisions):
        return 0.25
    if any(layer.operator == "quantize" for layer in model.layers):
        return 0.1
    return 1e-2 if any(spec.dtype in ("float16", "bfloat16") for spec in model.outputs) else 1e-4


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
