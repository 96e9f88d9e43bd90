"""Give every output of the model a kernel of its own that writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision
from edgecompile.plan.static_program import Value, read_static_program, why_not_static

if TYPE_CHECKING:
    import tvm


@dataclass(frozen=True)
class MaterializeOutputs:
    """Copy outputs that no kernel writes, or that two outputs share.

        return (x, lv, reshape(lv))   ->   return (copy(x), lv, copy(reshape(lv)))

    An output must be written into the caller's memory. An input, a constant, and a value that is already another output
    have no kernel that could do it. Modules that need the virtual machine are left as they are.
    """

    name: str = "MaterializeOutputs"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        if why_not_static(module):
            return module
        shared = _outputs_to_copy(module)
        if not shared:
            return module
        for position in shared:
            reason = "the value is an input, a constant or another output, and is copied"
            decisions.append(Decision(self.name, f"output {position}", True, reason))
        return _copy_outputs(module, shared)


def _outputs_to_copy(module: tvm.IRModule) -> set[int]:
    program = read_static_program(module)
    produced = {value for call in program.calls for value in call.results}
    seen: set[Value] = set()
    copies: set[int] = set()
    for position, value in enumerate(program.outputs):
        if value not in produced or value in seen:
            copies.add(position)
        seen.add(value)
    return copies


def _copy_outputs(module: tvm.IRModule, positions: set[int]) -> tvm.IRModule:
    import tvm
    from tvm import relax, topi

    main = module["main"]
    kernels = {variable: function for variable, function in module.functions_items() if variable.name_hint != "main"}
    builder = relax.BlockBuilder(tvm.IRModule(kernels, attrs=module.attrs))
    with builder.function("main", list(main.params)):
        with builder.dataflow():
            for block in main.body.blocks:
                for binding in block.bindings:
                    builder.emit_normalized(binding)
            result = main.body.body
            is_tuple = isinstance(result.ty, relax.TupleType)
            count = len(result.ty.fields) if is_tuple else 1
            items = [builder.emit(relax.TupleGetItem(result, i)) for i in range(count)] if is_tuple else [result]
            for position in positions:
                items[position] = builder.emit_te(topi.identity, items[position], primfunc_name_hint="copy")
            output = builder.emit_output(relax.Tuple(items) if is_tuple else items[0])
        builder.emit_func_output(output)
    return builder.finalize()
