"""Scheduled kernels -> functions with pointer parameters that need no TVM runtime.

A kernel `k(A: Buffer, B: Buffer)` becomes `int32 k(handle A, handle B, handle scratch)`. Buffers that it allocates
outside parallel loops move to `scratch`, which the plan places in the arena; those inside parallel loops belong to one
thread each and stay on its stack. The functions follow the unpacked C convention, so the object file that LLVM makes of
them needs only the parallel launcher and libm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgecompile.errors import CompilerBugError
from edgecompile.plan.execution_plan import align
from targets.cpu.bound_by_intrinsics import bound_by_intrinsics
from targets.cpu.deal_parallel_loops import deal_parallel_loops
from targets.cpu.unroll_scalar_functions import unroll_scalar_functions
from targets.cpu.widen_half_functions import widen_half_functions

if TYPE_CHECKING:
    import tvm

# A buffer below this is kept on the stack, where LLVM can turn it into registers: the accumulators of the largest tile,
# 24 AVX-512 registers, take 1536 bytes.
STACK_BUFFER_BYTES = 4096
# What a kernel's threads may keep on their stacks together with everything else; the smallest default stack among
# the targets is 1 MiB (Android's pthreads).
STACK_BYTES_PER_THREAD = 256 * 1024


@dataclass(frozen=True)
class LoweredKernel:
    """A kernel ready for code generation.

    Attributes:
        function: parameters are pointers in the kernel's order, then the scratch pointer; returns int32, 0 for success.
        scratch_bytes: what the scratch pointer must point to.
    """

    function: tvm.tirx.PrimFunc
    scratch_bytes: int


def lower_kernels(kernels: Mapping[str, tvm.tirx.PrimFunc], target: tvm.target.Target) -> dict[str, LoweredKernel]:
    """Lower every kernel, keyed by its symbol."""
    import tvm

    from schedules.arm_cpu.requantization import use_neon_for_requantization
    from schedules.cpu.polynomials import use_polynomials

    use_neon_for_requantization()
    cores = int(target.attrs["num-cores"]) if "num-cores" in target.attrs else 1

    def prepare(body: tvm.tirx.Stmt) -> tvm.tirx.Stmt:
        body = unroll_scalar_functions(use_polynomials(deal_parallel_loops(body, cores)))
        return bound_by_intrinsics(body) if str(target.attrs["mtriple"]).startswith("aarch64") else body

    functions = {
        tvm.ir.GlobalVar(name): function.with_body(prepare(function.body)) for name, function in kernels.items()
    }
    module = tvm.IRModule(functions)
    module = _loop_passes(target)(module)
    return {variable.name_hint: _to_pointers(function) for variable, function in module.functions_items()}


def _loop_passes(target: tvm.target.Target) -> tvm.transform.Pass:
    """TVM's own lowering of schedulable TIR, without what only GPUs need and without the packed calling convention."""
    import tvm
    from tvm.s_tir import transform as s_tir
    from tvm.tirx import transform as tirx

    return tvm.transform.Sequential(
        [
            tirx.BindTarget(target),
            s_tir.CanonicalizeLoop(),
            s_tir.LowerInitBlock(),
            s_tir.PlanAndUpdateBufferAllocationLocation(),
            s_tir.ConvertBlocksToOpaque(),
            s_tir.CompactBufferAllocation(),
            s_tir.LowerMatchBuffer(),
            s_tir.StmtSimplify(),
            s_tir.LowerOpaqueBlock(),
            tirx.FlattenBuffer(),
            tirx.BF16ComputeLegalize(),
            tirx.NarrowDataType(32),
            s_tir.LoopPartition(),
            tirx.VectorizeLoop(),
            tirx.StorageRewrite(),
            s_tir.HoistIfThenElse(),
            tirx.UnrollLoop(),
            s_tir.RenormalizeSplitPattern(),
            tirx.StmtSimplify(),
            tirx.RemoveNoOp(),
            s_tir.RewriteUnsafeSelect(),
            tirx.CommonSubexprElim(),
        ]
    )


def _to_pointers(kernel: tvm.tirx.PrimFunc) -> LoweredKernel:
    import tvm
    from tvm import tirx

    scratch = tirx.Var("scratch", _void_pointer())
    body, scratch_bytes = _move_allocations(widen_half_functions(kernel.body), scratch)
    pointers, declarations = [], []
    for parameter in kernel.params:
        pointer = tirx.Var(f"{parameter.name}_pointer", parameter.data.ty)
        pointers.append(pointer)
        offset = parameter.ty.elem_offset
        if isinstance(offset, tirx.Var):  # kernels from `te.extern` leave it open; the plan passes whole tensors
            declarations.append(tirx.Bind(offset, tirx.IntImm(str(offset.ty.dtype), 0)))
        declarations.append(tirx.DeclBuffer(parameter, data=pointer))
    body = tirx.SeqStmt([*declarations, body, tirx.Return(tirx.IntImm("int32", 0))])
    function = tirx.PrimFunc([*pointers, scratch], body, ret_type=tvm.ir.PrimType("int32"), attrs=kernel.attrs)
    return LoweredKernel(function, scratch_bytes)


def _void_pointer() -> tvm.ir.PointerType:
    import tvm

    return tvm.ir.PointerType(tvm.ir.PrimType("void"))


def _move_allocations(body: tvm.tirx.Stmt, scratch: tvm.tirx.Var) -> tuple[tvm.tirx.Stmt, int]:
    """Point large buffers at `scratch`, except those of parallel loops; answer the new body and the bytes used."""
    from tvm import tirx
    from tvm_ffi.structural import structural_mutate

    used = 0
    on_stack = 0
    parallel_depth = 0

    def on_loop(loop: tirx.For, mutator: Any) -> tirx.Stmt:
        nonlocal parallel_depth
        inside = loop.kind == tirx.ForKind.PARALLEL
        parallel_depth += inside
        result = mutator.default_mutate(loop)
        parallel_depth -= inside
        return result

    def on_allocation(allocation: tirx.AllocBuffer, mutator: Any) -> tirx.Stmt:
        nonlocal used, on_stack
        size = _buffer_bytes(allocation.buffer)
        fits = size < STACK_BUFFER_BYTES and on_stack + size <= STACK_BYTES_PER_THREAD
        if parallel_depth or fits:
            on_stack += size
            return tirx.AllocBuffer(allocation.buffer, annotations={"disable_lower_builtin": tirx.IntImm("int32", 1)})
        place = tirx.handle_add_byte_offset(scratch, used)
        used += align(size)
        return tirx.DeclBuffer(allocation.buffer, data=tirx.reinterpret(allocation.buffer.data.ty, place))

    def on_attribute(attribute: tirx.AttrStmt, mutator: Any) -> tirx.Stmt:
        # topi marks loops "seq" for GPU schedules; LLVM's code generator warns about every one.
        if attribute.attr_key == "pragma_scope":
            return mutator.mutate(attribute.body)
        return mutator.default_mutate(attribute)

    handlers = ((tirx.For, on_loop), (tirx.AllocBuffer, on_allocation), (tirx.AttrStmt, on_attribute))
    body = structural_mutate(body, handlers)
    if on_stack > STACK_BYTES_PER_THREAD:
        raise CompilerBugError(
            f"a kernel keeps {on_stack} bytes on each thread's stack, more than {STACK_BYTES_PER_THREAD}; "
            "its schedule is at fault"
        )
    return body, used


def _buffer_bytes(buffer: tvm.tirx.Buffer) -> int:
    elements = 1
    for extent in buffer.shape:
        elements *= int(extent)
    return elements * (-(-buffer.dtype.bits * buffer.dtype.lanes // 8))
