"""Kernels and the entry function -> one object file, through TVM's LLVM back end.

Generated code reaches two functions of the runtime: `ec_internal_step_done` by name, and the parallel launcher through
the pointer `__TVMBackendParallelLaunch`, of which the object holds a weak copy that the network's table overrides.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompile.plan import ExecutionPlan
from edgecompile.target import Target
from targets.cpu.entry import Callee, load_symbol, make_entry, make_load_entry, run_symbol
from targets.cpu.lower_kernels import LoweredKernel
from targets.cpu.share_kernels import share_kernels

if TYPE_CHECKING:
    import tvm


def tvm_target(target: Target) -> tvm.target.Target:
    """The LLVM target of TVM for `target`."""
    import tvm

    options = {
        "kind": "llvm",
        "mtriple": target.llvm_triple,
        "mcpu": target.llvm_cpu,
        "num-cores": target.cpu.num_cores,
    }
    if target.architecture == "armv7l":
        options["mfloat-abi"] = "hard"  # Debian's and Android's C libraries pass floats in registers
    if target.llvm_features:
        options["mattr"] = list(target.llvm_features)
    return tvm.target.Target(options)


def write_object(
    plan: ExecutionPlan, kernels: Mapping[str, LoweredKernel], target: tvm.target.Target, path: Path
) -> None:
    """Write `path`, an object file with `<name>_run` and, where weights are decoded, `<name>_load`."""
    import tvm

    lowered = {name: _with_device_scope(kernel.function) for name, kernel in kernels.items()}
    functions, calls = share_kernels(_lowered(lowered, target))
    variables = {name: tvm.ir.GlobalVar(f"{plan.name}_{name}") for name in functions}
    callees = {name: Callee(variables[call.symbol], call.numbers) for name, call in calls.items()}
    entries = {run_symbol(plan.name): make_entry(plan, callees)}
    if plan.loads:
        entries[load_symbol(plan.name)] = make_load_entry(plan, callees)
    whole = {
        variables[name]: _outlined(function, f"{plan.name}_{name}_compute") for name, function in functions.items()
    }
    whole |= {tvm.ir.GlobalVar(name): entry for name, entry in _lowered(entries, target).items()}
    module = tvm.IRModule(whole)
    path.write_bytes(_object_bytes(tvm.get_global_func("target.build.llvm")(module, target)))


def _lowered(functions: Mapping[str, tvm.tirx.PrimFunc], target: tvm.target.Target) -> dict[str, tvm.tirx.PrimFunc]:
    """The functions as the code generator wants them."""
    import tvm
    from tvm.tirx import transform as tirx

    passes = [tirx.BindTarget(target), tirx.BF16StorageLegalize(), tirx.LowerTVMBuiltin(), tirx.LowerIntrin()]
    module = tvm.IRModule({tvm.ir.GlobalVar(name): function for name, function in functions.items()})
    result = tvm.transform.Sequential(passes)(module)
    return {variable.name_hint: function for variable, function in result.functions_items()}


def _object_bytes(built: tvm.runtime.Module) -> bytes:
    """The object code of a module; LLVM writes it to memory, since on a full disk LLVM ends the process."""
    descriptor = os.memfd_create("object")
    with os.fdopen(descriptor, "rb") as file:
        built.write_to_file(f"/proc/self/fd/{descriptor}", "o")
        return file.read()


def _with_device_scope(function: tvm.tirx.PrimFunc) -> tvm.tirx.PrimFunc:
    """Say that the code runs on CPU 0, which `LowerTVMBuiltin` asks before it lets small buffers live on the stack."""
    import tvm
    from tvm import tirx

    body = function.body
    for key, value in (("device_id", 0), ("device_type", 1)):
        body = tirx.AttrStmt(tvm.ir.StringImm("default"), key, tirx.IntImm("int32", value), body)
    return function.with_body(body)


def _outlined(function: tvm.tirx.PrimFunc, symbol: str) -> tvm.tirx.PrimFunc:
    """Keep the body a function of its own, which TVM's code generator tells LLVM never to inline.

    Inlined into the entry function once per call, kernels made one function of all layers, and LLVM took time that grew
    faster than their number.
    """
    import tvm
    from tvm import tirx

    body = tirx.AttrStmt(tirx.IntImm("int32", 0), "compute_scope", tvm.ir.StringImm(symbol), function.body)
    return function.with_body(tirx.SeqStmt([body, tirx.Return(tirx.IntImm("int32", 0))]))
