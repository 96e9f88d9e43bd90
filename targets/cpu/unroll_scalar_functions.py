"""Vector loops around functions that LLVM's back end in TVM knows for scalars only -> unrolled loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tvm

# TVM 0.27 lowers these to calls of libm, for one element at a time; vectors of them end in "unknown intrinsic".
_SCALAR_ONLY = frozenset({"tirx.cosh", "tirx.fmod", "tirx.sinh"})


def unroll_scalar_functions(body: tvm.tirx.Stmt) -> tvm.tirx.Stmt:
    """`for lane in vectorized(8): y[lane] = sinh(x[lane])` -> the same, unrolled; all other loops stay."""
    from tvm import tirx
    from tvm_ffi.structural import structural_mutate

    def on_loop(loop: tirx.For, mutator: Any) -> tirx.Stmt:
        inside = mutator.default_mutate(loop)
        if loop.kind != tirx.ForKind.VECTORIZED or not _calls_scalar_function(loop.body):
            return inside
        return tirx.For(inside.loop_var, inside.min, inside.extent, tirx.ForKind.UNROLLED, inside.body)

    return structural_mutate(body, ((tirx.For, on_loop),))


def _calls_scalar_function(body: tvm.tirx.Stmt) -> bool:
    import tvm
    from tvm_ffi.structural import structural_walk

    found: list[str] = []

    def on_call(call: tvm.ir.Call) -> None:
        name = str(getattr(call.op, "name", ""))
        if name in _SCALAR_ONLY:
            found.append(name)

    structural_walk(body, (tvm.ir.Call, on_call))
    return bool(found)
