"""`shorten`: a module without the elements that go; `with_values`: one with other constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tvm
from tvm import relax
from tvm_ffi.structural import structural_mutate

from edgecompile.compress.graph.variables import bindings_of
from edgecompile.compress.prune.channels.kept import Kept
from edgecompile.compress.prune.channels.rule import RULES
from edgecompile.compress.prune.channels.tensor import Tensor
from edgecompile.compress.prune.channels.trace import Program


def with_values(module: tvm.IRModule, program: Program, values: Mapping[Tensor, np.ndarray]) -> tvm.IRModule:
    """The module with other values of some constants, of the same shapes.

    Args:
        program: `trace` of the module.
        values: by the tensor of a constant; see `Program.constants`.
    """
    return _rewritten(module, program, Kept(np.ones(program.linker.count, bool)), values)


def shorten(module: tvm.IRModule, program: Program, kept: Kept) -> tvm.IRModule:
    """The module with shorter constants, and the attributes that go with them; shapes are inferred anew.

    Args:
        program: `trace` of the module.
        kept: whole components stay or go.
    """
    return _rewritten(module, program, kept, {})


def _rewritten(module: tvm.IRModule, program: Program, kept: Kept, values: Mapping[Tensor, np.ndarray]) -> tvm.IRModule:
    main = program.main
    functions = {variable: function for variable, function in module.functions_items() if variable.name_hint != "main"}
    builder = relax.BlockBuilder(tvm.IRModule(functions))
    writer = _Writer(program, kept, values)
    with builder.function("main", list(main.params), attrs=dict(main.attrs) if main.attrs else {}):
        with builder.dataflow():
            for binding in bindings_of(main):
                emit = builder.emit if isinstance(binding.var, relax.DataflowVar) else builder.emit_output
                writer.define(binding.var, emit(writer.value(binding), name_hint=binding.var.name))
        builder.emit_func_output(writer.renewed(main.body.body))
    shortened = builder.finalize()
    return shortened.with_attrs(dict(module.attrs)) if module.attrs else shortened


class _Writer:
    def __init__(self, program: Program, kept: Kept, values: Mapping[Tensor, np.ndarray]) -> None:
        self._program, self._kept, self._values = program, kept, values
        self._new: dict[relax.Var, relax.Var] = {}
        self._constants: dict[Tensor, tvm.ir.GenericConst] = {}  # so that tied weights stay one constant

    def define(self, variable: relax.Var, new: relax.Var) -> None:
        """What a variable is called now, whose shape is what the rules said it would be."""
        fields = new.ty.fields if isinstance(new.ty, relax.TupleType) else [new.ty]
        for tensor, field in zip(self._program.variables[variable], fields, strict=True):
            expected = self._kept.shape(tensor)
            found = getattr(getattr(field, "shape", None), "values", ())
            for one, other in zip(expected, found, strict=False):
                assert one is None or int(other) == one, f"{variable.name}: expected {expected}, found {found}"
        self._new[variable] = new

    def value(self, binding: relax.VarBinding) -> relax.Expr:
        """What a binding computes, of shorter arguments."""
        variable, value = binding.var, binding.value
        site = self._program.sites.get(variable)
        if site is None:
            return self._shortened(variable, (), value)
        arguments = [self._shortened(variable, (index,), argument) for index, argument in enumerate(value.args)]
        rewrite = RULES[site.operator].rewrite
        if rewrite is None:
            return relax.Call(value.op, arguments, value.attrs, value.ty_args)
        return rewrite(site, arguments, self._kept)

    def renewed(self, value: relax.Expr) -> relax.Expr:
        """A value in the variables of the new module."""

        def on_variable(variable: tvm.ir.Var, mutator: object) -> relax.Expr:
            del mutator
            return self._new.get(variable, variable)

        return structural_mutate(value, ((tvm.ir.Var, on_variable),))

    def _shortened(self, variable: relax.Var, path: tuple[int, ...], value: relax.Expr) -> relax.Expr:
        if isinstance(value, tvm.ir.GenericConst) and (variable, path) in self._program.constants:
            return self._constant(self._program.constants[variable, path], value)
        if isinstance(value, relax.Tuple):
            fields: Sequence[relax.Expr] = [
                self._shortened(variable, (*path, place), part) for place, part in enumerate(value.fields)
            ]
            return relax.Tuple(fields)
        if isinstance(value, relax.TupleGetItem):  # made anew, since it would keep its type
            return relax.TupleGetItem(self.renewed(value.tuple_value), value.index)
        return self.renewed(value)

    def _constant(self, tensor: Tensor, value: tvm.ir.GenericConst) -> tvm.ir.GenericConst:
        if self._kept.is_whole(tensor) and tensor not in self._values:
            return value
        if tensor not in self._constants:
            self._constants[tensor] = self._shorter(tensor, value)
        return self._constants[tensor]

    def _shorter(self, tensor: Tensor, value: tvm.ir.GenericConst) -> tvm.ir.GenericConst:
        array = self._values[tensor] if tensor in self._values else value.value.numpy()
        for axis in range(tensor.rank):
            array = array.take(self._kept.indices(tensor, axis), axis)
        return relax.const(array, str(value.value.dtype))
