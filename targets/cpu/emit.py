"""A plan and its kernels -> the library files of an artifact."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.family import EmittedFiles
from edgecompile.frontend.model import TensorSpec
from edgecompile.plan import ExecutionPlan
from edgecompile.target import Target
from targets.cpu.entry import load_symbol, run_symbol
from targets.cpu.link import link_library
from targets.cpu.lower_kernels import LoweredKernel
from targets.cpu.network import Network, Tensor
from targets.cpu.object_code import tvm_target, write_object

if TYPE_CHECKING:
    import tvm

WEIGHTS_NAME = "weights.bin"


def emit(
    plan: ExecutionPlan, kernels: Mapping[str, LoweredKernel], target: Target, folder: Path, *, embed_weights: bool
) -> EmittedFiles:
    """Write `lib<name>.so`, `lib<name>.a`, the headers, and `weights.bin` unless the weights are embedded.

    Raises:
        ToolchainError: no compiler for the target, or it failed.
        UnsupportedModelError: the C interface cannot describe the model's inputs or outputs.
        OutputError: the folder cannot be written.
    """
    network = Network(
        name=plan.name,
        target=target,
        inputs=tuple(map(_tensor, plan.inputs)),
        outputs=tuple(map(_tensor, plan.outputs)),
        arena_bytes=plan.memory.arena_bytes,
        weights_bytes=len(plan.constants.data),
        weights_sha256=hashlib.sha256(plan.constants.data).hexdigest(),
        embed_weights=embed_weights,
        steps=tuple(call.kernel for call in plan.calls),
        run_symbol=run_symbol(plan.name),
        decoded_bytes=plan.decoded_bytes,
        load_scratch_bytes=plan.load_scratch_bytes,
        load_symbol=load_symbol(plan.name) if plan.loads else "",
        # LLVM is told the alignment of the elements alone. Most CPUs load vectors from anywhere; ARMv7 from whole
        # words.
        io_alignment=4 if target.architecture == "armv7l" else 1,
    )
    weights = folder / WEIGHTS_NAME
    with tempfile.TemporaryDirectory(dir=folder, prefix=".object-") as work:
        objects = [Path(work) / "kernels.o"]
        write_object(plan, kernels, tvm_target(target), objects[0])
        weights.write_bytes(plan.constants.data)
        link_library(network, objects, weights, folder)
    has_file = bool(plan.constants.data) and not embed_weights
    if not has_file:
        weights.unlink()
    return EmittedFiles(
        library=f"lib{plan.name}.so",
        static_library=f"lib{plan.name}.a",
        headers=("include/edgecompile.h", f"include/{plan.name}.h"),
        weights=WEIGHTS_NAME if has_file else None,
    )


def _tensor(spec: TensorSpec) -> Tensor:
    from edgecompile.artifact.dtypes import numpy_dtype

    shape = tuple(int(dimension) for dimension in spec.shape)
    size = numpy_dtype(spec.dtype).itemsize
    for dimension in shape:
        size *= dimension
    return Tensor(spec.name, spec.dtype, shape, size)


def emit_virtual_machine(module: tvm.IRModule, name: str, target: Target, folder: Path) -> EmittedFiles:
    """Write `lib<name>.so`, a library for Relax's virtual machine, with the weights inside.

    Raises:
        ToolchainError: no compiler for the target, or it failed.
        OutputError: the disk is full.
    """
    from tvm import relax

    from targets.cpu.toolchain import find_toolchain

    toolchain = find_toolchain(target)
    executable = relax.build(module, tvm_target(target))
    library = f"lib{name}.so"

    def link(output: str, sources: Sequence[str], options: Sequence[str] = ()) -> None:
        toolchain.compile(["-shared", "-fPIC", *options, *sources, "-o", output], folder, f"linking {library}")

    # Where no kernel says it, TVM takes this machine's.
    link.get_target_triple = lambda: target.llvm_triple  # type: ignore[attr-defined]
    executable.export_library(str(folder / library), fcompile=link)
    return EmittedFiles(library=library, static_library=None, headers=(), weights=None)
