"""Changing some values of `main` and leaving all names as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm_ffi.structural import structural_mutate

UPPER_BOUND = -1
"""In place of an argument's position: the upper bound of a clip or relu6, whose lower one is zero."""


def with_constants(
    module: tvm.IRModule,
    constants: Mapping[tuple[relax.Var, int], np.ndarray],
    split: Mapping[relax.Var, Sequence[relax.Var]] | None = None,
) -> tvm.IRModule:
    """The module with other constants.

    Args:
        module: its `main` is one dataflow block.
        constants: by the variable of a call in `main` and the position of the argument. An `UPPER_BOUND` that is no
            number for all channels makes `minimum(relu(x), bound)` of `clip(x, 0, bound)`.
        split: calls that stay as they are beside their changed form, and who reads that one.
    """
    arguments: dict[relax.Var, dict[int, np.ndarray]] = {}
    for (variable, position), array in constants.items():
        arguments.setdefault(variable, {})[position] = array
    definitions = {binding.var: binding.value for binding in module["main"].body.blocks[0].bindings}
    values = {variable: _with_arguments(definitions[variable], changed) for variable, changed in arguments.items()}
    beside: dict[relax.Var, tuple[relax.Var, relax.Expr]] = {}
    for variable, readers in (split or {}).items():
        copy = relax.Var(f"{variable.name}_split", variable.ty)
        beside[variable] = (copy, values.pop(variable))
        for reader in readers:
            call = values.get(reader, definitions[reader])
            renamed = [copy if argument.same_as(variable) else argument for argument in call.args]
            values[reader] = relax.Call(call.op, renamed, call.attrs)
    return edited(module, values=values, beside=beside)


def edited(
    module: tvm.IRModule,
    *,
    values: Mapping[relax.Var, relax.Expr] | None = None,
    behind: Mapping[relax.Var, Callable[[relax.Var], relax.Expr]] | None = None,
    beside: Mapping[relax.Var, tuple[relax.Var, relax.Expr]] | None = None,
    before: Mapping[relax.Var, Sequence[tuple[relax.Var, relax.Expr]]] | None = None,
    parameters: Sequence[relax.Var] = (),
) -> tvm.IRModule:
    """The module with a changed `main`.

    Args:
        module: its `main` is one dataflow block.
        values: what a variable is bound to instead, in the variables of the old `main`.
        behind: what all readers of a variable read in its place, made of its new form.
        beside: a further variable after each of these, and what it is bound to, in the variables of the old `main`.
        before: further variables ahead of each of these, in order, and what they are bound to; the values of both may
            read them.
        parameters: further inputs, after the others.
    """
    main = module["main"]
    values, behind, beside, before = values or {}, behind or {}, beside or {}, before or {}
    others = {variable: function for variable, function in module.functions_items() if variable.name_hint != "main"}
    builder = relax.BlockBuilder(tvm.IRModule(others))
    new: dict[relax.Var, relax.Expr] = {}

    def renewed(value: relax.Expr) -> relax.Expr:
        def on_variable(variable: tvm.ir.Var, mutator: Any) -> relax.Expr:
            del mutator
            return new.get(variable, variable)

        return structural_mutate(value, ((tvm.ir.Var, on_variable),))

    with builder.function("main", [*main.params, *parameters], attrs=dict(main.attrs) if main.attrs else None):
        with builder.dataflow():
            for binding in main.body.blocks[0].bindings:
                for added, value in before.get(binding.var, ()):
                    new[added] = builder.emit(renewed(value), name_hint=added.name)
                value = renewed(values.get(binding.var, binding.value))
                new[binding.var] = builder.emit(value, name_hint=binding.var.name)
                if binding.var in behind:
                    following = behind[binding.var](new[binding.var])
                    new[binding.var] = builder.emit(following, name_hint=f"{binding.var.name}_moved")
                if binding.var in beside:
                    copy, value = beside[binding.var]
                    new[copy] = builder.emit(renewed(value), name_hint=copy.name)
            output = builder.emit_output(renewed(main.body.body))
        builder.emit_func_output(output)
    rewritten = builder.get()
    return rewritten.with_attrs(dict(module.attrs)) if module.attrs else rewritten


def _with_arguments(call: relax.Call, changed: Mapping[int, np.ndarray]) -> relax.Expr:
    if UPPER_BOUND in changed:
        return relax.op.minimum(relax.op.nn.relu(call.args[0]), relax.const(changed[UPPER_BOUND], "float32"))
    arguments = list(call.args)
    for position, array in changed.items():
        arguments[position] = relax.const(array, str(array.dtype))
    return relax.Call(call.op, arguments, call.attrs)
