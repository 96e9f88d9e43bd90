"""`trace`: a module to its tensors, and what its operators say of their elements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import tvm
from tvm import relax, tirx

from edgecompile.compress.graph.variables import bindings_of
from edgecompile.compress.prune.channels import operators
from edgecompile.compress.prune.channels.linker import Linker
from edgecompile.compress.prune.channels.rule import RULES
from edgecompile.compress.prune.channels.site import Site
from edgecompile.compress.prune.channels.tensor import Tensor
from edgecompile.errors import UnsupportedModelError

assert operators.__all__, "the rules are registered"

Operand = tuple[relax.Var, tuple[int, ...]]
"""The variable that a binding defines, and where in its value a constant stands: argument, and place in a tuple."""


@dataclass(frozen=True)
class Program:
    """A module as pruning sees it.

    Attributes:
        main: its function.
        linker: what its operators say.
        sites: the calls whose operator has a rule, by the variables that they define.
        variables: the tensors of each variable: one, or those of a tuple.
        constants: the tensor of each constant, where it is read. Those of a weight that several operators read are one.
    """

    main: relax.Function
    linker: Linker
    sites: Mapping[relax.Var, Site]
    variables: Mapping[relax.Var, Sequence[Tensor]]
    constants: Mapping[Operand, Tensor]


def trace(module: tvm.IRModule) -> Program:
    """What the operators of `main` say of the elements of its tensors.

    An operator without a rule, and what is no operator, make all that they read and write stay; so do the inputs and
    outputs of the model.

    Raises:
        UnsupportedModelError: the model has control flow.
    """
    main = module["main"]
    if not isinstance(main.body, relax.SeqExpr) or len(main.body.blocks) != 1:
        raise UnsupportedModelError("pruning needs a model without control flow, found several blocks of operators")
    return _Tracer(main).program()


class _Tracer:
    def __init__(self, main: relax.Function) -> None:
        self._main = main
        self._linker = Linker()
        self._sites: dict[relax.Var, Site] = {}
        self._variables: dict[relax.Var, Sequence[Tensor]] = {}
        self._constants: dict[Operand, Tensor] = {}
        self._weights: dict[int, Tensor] = {}

    def program(self) -> Program:
        for parameter in self._main.params:
            for tensor in self._define(parameter):
                self._linker.pin_axes(tensor, f"{parameter.name!r} is an input of the model")
        for binding in bindings_of(self._main):
            self._trace(binding)
        for variable in relax.analysis.free_vars(self._main.body.body):
            for tensor in self._variables[variable]:
                self._linker.pin_axes(tensor, f"{variable.name!r} is an output of the model")
        return Program(self._main, self._linker, self._sites, self._variables, self._constants)

    def _define(self, variable: relax.Var, *, is_fixed: bool = False) -> Sequence[Tensor]:
        fields = variable.ty.fields if isinstance(variable.ty, relax.TupleType) else [variable.ty]
        tensors = [self._linker.tensor(variable.name, _shape(field), is_fixed=is_fixed) for field in fields]
        self._variables[variable] = tensors
        return tensors

    def _trace(self, binding: relax.Binding) -> None:
        variable, value = binding.var, binding.value
        self._linker.layer = variable.name
        if isinstance(value, relax.Call):
            self._trace_call(variable, value)
        elif isinstance(binding, relax.VarBinding) and isinstance(value, tvm.ir.GenericConst):
            self._variables[variable] = [self._constant((variable, ()), value)]
        elif isinstance(value, relax.TupleGetItem) and isinstance(value.tuple_value, relax.Var):
            self._variables[variable] = [self._variables[value.tuple_value][value.index]]
        elif isinstance(binding, relax.VarBinding) and isinstance(value, relax.Var):
            self._variables[variable] = self._variables[value]
        elif isinstance(value, relax.Tuple) and not any(isinstance(part, relax.Tuple) for part in value.fields):
            self._variables[variable] = self._tensors(variable, (), value)
        else:
            self._refuse(variable, value, f"{variable.name!r} is no operator that pruning knows")

    def _trace_call(self, variable: relax.Var, call: relax.Call) -> None:
        operator = str(call.op.name).removeprefix("relax.") if isinstance(call.op, tvm.ir.Op) else ""
        if operator not in RULES:
            self._refuse(variable, call, f"pruning does not know {_called(operator, call)} of {variable.name!r}")
            return
        arguments = [self._tensors(variable, (index,), argument) for index, argument in enumerate(call.args)]
        is_fixed = all(tensor.is_fixed for tensors in arguments for tensor in tensors)
        outputs = self._define(variable, is_fixed=is_fixed)
        site = Site(variable.name, operator, call, outputs, self._linker, arguments.__getitem__)
        self._sites[variable] = site
        RULES[operator].link(site)

    def _refuse(self, variable: relax.Var, value: relax.Expr, reason: str) -> None:
        """All that a value reads, and what it is, has to stay."""
        for tensor in self._define(variable):
            self._linker.pin_axes(tensor, reason)
        for read in relax.analysis.free_vars(value):
            for tensor in self._variables.get(read, ()):
                self._linker.pin_axes(tensor, reason)

    def _tensors(self, variable: relax.Var, path: tuple[int, ...], value: relax.Expr) -> Sequence[Tensor]:
        """The tensors of an argument; none of what is a shape or a number."""
        if isinstance(value, relax.Var) and value in self._variables:
            return self._variables[value]
        if isinstance(value, tvm.ir.GenericConst):
            return [self._constant((variable, path), value)]
        if isinstance(value, relax.Tuple):
            parts = [self._tensors(variable, (*path, place), part) for place, part in enumerate(value.fields)]
            return [tensor for part in parts for tensor in part]
        return []

    def _constant(self, operand: Operand, value: tvm.ir.GenericConst) -> Tensor:
        """The tensor of a constant: one for all readers of a matrix, which is tied; each reader's own for a vector."""
        shape = [int(extent) for extent in value.value.shape]
        is_weight = sum(extent > 1 for extent in shape) > 1
        tensor = self._weights.get(value.value.data_ptr()) if is_weight else None
        if tensor is None or tensor.shape != tuple(shape):
            place = ".".join(map(str, operand[1]))
            tensor = self._linker.tensor(f"{operand[0].name}.{place}", shape, value)
            if is_weight:
                self._weights[value.value.data_ptr()] = tensor
        self._constants[operand] = tensor
        return tensor


def _called(operator: str, call: relax.Call) -> str:
    """What a call calls, in words."""
    if operator and not operator.startswith("call_"):
        return f"the operator {operator!r}"
    function = call.args[0] if operator else call.op
    return f"the function {getattr(function, 'name_hint', operator)!r}"


def _shape(type_: tvm.ir.Type) -> Iterator[int | None]:
    if isinstance(type_, relax.TensorType) and isinstance(type_.shape, relax.ShapeExpr):
        for extent in type_.shape.values:
            yield int(extent) if isinstance(extent, tirx.IntImm) else None
