"""The one list of passes between a frontend's module and the kernels, and the loop that runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from edgecompile import settings
from edgecompile.decision import Decision
from edgecompile.errors import CompilerBugError
from edgecompile.plan import Origin

if TYPE_CHECKING:
    import tvm


LAYOUTS = "layouts"
"""The phase that chooses between the target's `Implementations`."""


class ModulePass(Protocol):
    """A rewrite of a whole module that does not change it in place and records what it decided."""

    @property
    def name(self) -> str: ...

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule: ...


@dataclass(frozen=True)
class Phase:
    """Passes that run one after the other, and why they stand here."""

    name: str
    reason: str
    passes: tuple[ModulePass, ...]


@dataclass(frozen=True)
class Lowered:
    """What the pipeline makes of a model.

    Attributes:
        module: `main` calls kernels by `call_tir`; the kernels are schedulable TIR.
        origins: what each kernel call was made of, by the variable of `main` that holds its result.
        decisions: everything the passes decided.
    """

    module: tvm.IRModule
    origins: dict[str, Origin]
    decisions: list[Decision] = field(default_factory=list)


@dataclass(frozen=True)
class TvmPass:
    """A pass of TVM under our protocol."""

    name: str
    make: Callable[[], tvm.transform.Pass]

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        del decisions  # TVM's passes do not say what they did
        return self.make()(module)


def eliminate_dead_code() -> TvmPass:
    """Removes what nothing reads."""
    from tvm.relax import transform as relax

    return TvmPass("DeadCodeElimination", lambda: relax.DeadCodeElimination(["main"]))


def standard_phases() -> tuple[Phase, ...]:
    """The phases that every target shares."""
    from tvm.relax import transform as relax

    from edgecompile.passes.annotate_elementwise import AnnotateElementwise
    from edgecompile.passes.decode_weights import DecodeWeights
    from edgecompile.passes.fold_batch_norm import FoldBatchNorm
    from edgecompile.passes.fold_channel_scale import FoldChannelScale
    from edgecompile.passes.fuse_dequantized_rows import FuseDequantizedRows
    from edgecompile.passes.guard_integer_division import GuardIntegerDivision
    from edgecompile.passes.integers import FuseIntegerOperators
    from edgecompile.passes.keep_stored_weights import KeepStoredWeights
    from edgecompile.passes.keep_zero_operands import KeepZeroOperands
    from edgecompile.passes.legalize_operators import LegalizeOperators
    from edgecompile.passes.materialize_outputs import MaterializeOutputs

    canonicalize = TvmPass("CanonicalizeBindings", relax.CanonicalizeBindings)
    fold_constant = TvmPass("FoldConstant", relax.FoldConstant)
    return (
        Phase(
            "integers",
            "first of all: folding would make float constants of the integer weights, those of float operators too",
            (canonicalize, FuseIntegerOperators(), eliminate_dead_code(), KeepStoredWeights()),
        ),
        Phase(
            "simplify",
            "on high-level operators, where a batch norm and a convolution are still one call each",
            (
                canonicalize,
                KeepZeroOperands(),
                fold_constant,
                TvmPass("EliminateCommonSubexpr", relax.EliminateCommonSubexpr),
                FoldBatchNorm(),
                fold_constant,
                FoldChannelScale(),
                eliminate_dead_code(),
            ),
        ),
        Phase(
            "legalize",
            "operators become loops over tensors; what only constants feed is computed now",
            (
                FuseDequantizedRows(),
                LegalizeOperators(),
                TvmPass("AnnotateTIROpPattern", relax.AnnotateTIROpPattern),
                AnnotateElementwise(),
                fold_constant,
            ),
        ),
        Phase(
            "fuse",
            "elementwise epilogues join the kernel that feeds them",
            (TvmPass("FuseOps", relax.FuseOps),),
        ),
        Phase(
            "kernels",
            "each group becomes one kernel that cannot trap; reshapes become views; stored weights get kernels that "
            "decode them, now that no constants are folded any more; every output gets a kernel that writes it",
            (
                TvmPass("FuseTIR", relax.FuseTIR),
                TvmPass("RewriteDataflowReshape", relax.RewriteDataflowReshape),
                eliminate_dead_code(),
                GuardIntegerDivision(),
                DecodeWeights(),
                MaterializeOutputs(),
            ),
        ),
    )


def lower(
    module: tvm.IRModule,
    phases: Sequence[Phase],
    target: tvm.target.Target,
    progress: Callable[[str], None] | None = None,
) -> Lowered:
    """Run the phases; IR is checked before the first and after each pass, and dumped after each phase when asked.

    Raises:
        CompilerBugError: a pass failed or left a module that is not well formed; the message names it.
    """
    from edgecompile.passes.origins import origins_of_main

    decisions: list[Decision] = []
    origins: dict[str, Origin] = {}
    _check(module, "the frontend")
    for position, phase in enumerate(phases):
        if progress:
            progress(phase.name)
        before = module
        for step in phase.passes:
            _trace(f"pass {phase.name}/{step.name}", level=2)
            with target:
                module = _run(step, module, decisions)
            _check(module, step.name)
        _dump(module, position, phase.name)
        origins.update(origins_of_main(before, module, origins))
    return Lowered(module, origins, decisions)


def _run(step: ModulePass, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
    import tvm

    try:
        return step(module, decisions)
    except tvm.error.InternalError as error:
        raise CompilerBugError(f"pass {step.name} failed: {_last_line(error)}") from error


def _check(module: tvm.IRModule, after: str) -> None:
    from tvm import relax

    try:
        relax.analysis.well_formed(module)
    except Exception as error:  # TVM raises plain and FFI errors alike here
        raise CompilerBugError(f"the module is not well formed after {after}: {_last_line(error)}") from error


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def _trace(text: str, *, level: int) -> None:
    if settings.debug_level() >= level:
        import sys

        print(f"edgecompile: {text}", file=sys.stderr)


def _dump(module: tvm.IRModule, position: int, phase: str) -> None:
    folder = settings.dump_ir_directory()
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{position:02d}-{phase}.py").write_text(module.script(show_meta=False), encoding="utf-8")
