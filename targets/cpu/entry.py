"""The plan as one function that calls every kernel in order.

    int32 <name>_run(input0, ..., output0, ..., weights, [decoded,] arena, profile)

and, where constants are decoded, one that does so once, and gives what `run` finds in `decoded`:

    int32 <name>_load(weights, decoded, scratch)

Both return 0: a kernel cannot fail, since its memory and its threads are there before it is called. After each call
`run` tells `ec_internal_step_done(profile, step)`, which returns at once unless the instance was opened for profiling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.plan import ExecutionPlan, KernelCall, Operand

if TYPE_CHECKING:
    import tvm


@dataclass(frozen=True)
class Callee:
    """The function of a kernel.

    Attributes:
        function: its variable in the module to build.
        numbers: what it is given behind the kernel's own arguments.
    """

    function: tvm.ir.GlobalVar
    numbers: tuple[tvm.ir.Expr, ...] = ()

    def call(self, arguments: Sequence[tvm.ir.Expr]) -> tvm.ir.Expr:
        """The call of the kernel with pointers to its operands and its scratch."""
        import tvm

        return tvm.ir.Call(self.function, [*arguments, *self.numbers], ret_ty=tvm.ir.PrimType("int32"))


def run_symbol(name: str) -> str:
    """The symbol of the entry function of a network."""
    return f"{name}_run"


def load_symbol(name: str) -> str:
    """The symbol of the function that decodes the constants of a network."""
    return f"{name}_load"


def make_load_entry(plan: ExecutionPlan, kernels: Mapping[str, Callee]) -> tvm.tirx.PrimFunc:
    """The function that decodes the constants of `plan`; arguments as of `make_entry`."""
    import tvm
    from tvm import tirx

    pointer = tvm.ir.PointerType(tvm.ir.PrimType("void"))
    weights, decoded, scratch = (tirx.Var(name, pointer) for name in ("weights", "decoded", "scratch"))
    bases = {"constant": weights, "decoded": decoded, "scratch": scratch}

    def address(operand: Operand) -> tvm.ir.Expr:
        return tirx.handle_add_byte_offset(bases[operand.space], tirx.IntImm("int64", operand.position))

    def step(call: KernelCall) -> tvm.ir.Expr:
        arguments = [*map(address, call.operands), address(call.scratch) if call.scratch else scratch]
        return kernels[call.kernel].call(arguments)

    statements = [tirx.Evaluate(step(call)) for call in plan.loads]
    body = tirx.SeqStmt([*statements, tirx.Return(tirx.IntImm("int32", 0))])
    entry = tirx.PrimFunc([weights, decoded, scratch], body, ret_type=tvm.ir.PrimType("int32"))
    return entry.with_attr("global_symbol", load_symbol(plan.name))


def make_entry(plan: ExecutionPlan, kernels: Mapping[str, Callee]) -> tvm.tirx.PrimFunc:
    """The entry function of `plan`; `kernels` maps each kernel's symbol to what computes it."""
    import tvm
    from tvm import tirx

    pointer = tvm.ir.PointerType(tvm.ir.PrimType("void"))
    inputs = [tirx.Var(f"input{i}", pointer) for i in range(len(plan.inputs))]
    outputs = [tirx.Var(f"output{i}", pointer) for i in range(len(plan.outputs))]
    weights, decoded, arena, profile = (tirx.Var(name, pointer) for name in ("weights", "decoded", "arena", "profile"))
    bases = {"constant": weights, "decoded": decoded, "arena": arena}

    def address(operand: Operand) -> tvm.ir.Expr:
        if operand.space == "input":
            return inputs[operand.position]
        if operand.space == "output":
            return outputs[operand.position]
        return tirx.handle_add_byte_offset(bases[operand.space], tirx.IntImm("int64", operand.position))

    def step(call: KernelCall) -> tvm.ir.Expr:
        scratch = address(call.scratch) if call.scratch else arena  # a kernel without scratch never reads the pointer
        arguments = [*(address(operand) for operand in call.operands), scratch]
        return kernels[call.kernel].call(arguments)

    statements: list[tirx.Stmt] = []
    for index, call in enumerate(plan.calls):
        statements.append(tirx.Evaluate(step(call)))
        statements.append(tirx.Evaluate(tirx.call_extern("int32", "ec_internal_step_done", profile, index)))
    statements.append(tirx.Return(tirx.IntImm("int32", 0)))
    body = tirx.SeqStmt(statements) if len(statements) > 1 else statements[0]
    parameters = [*inputs, *outputs, weights, *([decoded] if plan.loads else []), arena, profile]
    entry = tirx.PrimFunc(parameters, body, ret_type=tvm.ir.PrimType("int32"))
    return entry.with_attr("global_symbol", run_symbol(plan.name))
