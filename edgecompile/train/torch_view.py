"""`TorchView`: a Relax module that PyTorch computes, and differentiates."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
import tvm
from tvm import relax, tirx

from edgecompile.compress.graph.variables import bindings_of
from edgecompile.errors import UnsupportedModelError
from edgecompile.train import operators
from edgecompile.train.operator import OPERATORS, name_of

assert operators.__all__, "the operators are registered"

Operand: TypeAlias = "tuple[relax.Var, tuple[int, ...]]"
"""The variable that a binding defines, and where in its value a constant stands: argument, and place in a tuple."""

_SIZES: dict[type, Callable[[Any, Any], Any]] = {
    tirx.Add: operator.add,
    tirx.Sub: operator.sub,
    tirx.Mul: operator.mul,
    tirx.FloorDiv: operator.floordiv,
    tirx.FloorMod: operator.mod,
    tirx.Max: max,
    tirx.Min: min,
}


class TorchView:
    """Computes `main` operator by operator, as it would for inference: batch norms have their fixed statistics.

    Args:
        module: high-level operators in one dataflow block, as a frontend leaves them.

    Attributes:
        leaves: the floating-point constants, where they are read, as tensors that require gradients; each reader has
            its own. They share the memory of the module's constants: do not change them.

    Raises:
        UnsupportedModelError: an operator has no definition here, or `main` has control flow.
    """

    def __init__(self, module: tvm.IRModule) -> None:
        self._main = module["main"]
        self.leaves: dict[Operand, torch.Tensor] = {}
        self._fixed: dict[Operand, torch.Tensor] = {}
        for binding in bindings_of(self._main):
            self._check(binding)
            for path, constant in _constants(binding.value):
                tensor = torch.from_dlpack(constant.value)
                if tensor.is_floating_point():
                    self.leaves[binding.var, path] = tensor.detach().requires_grad_()
                else:
                    self._fixed[binding.var, path] = tensor

    def __call__(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The outputs, in the order of `main`'s results.

        Args:
            inputs: in the order of `main`'s parameters.
        """
        run = _Run(self.leaves | self._fixed, self._main.params, inputs)
        for binding in bindings_of(self._main):
            run.values[binding.var] = run.value(binding.value, binding.var)
        result = run.value(self._main.body.body, None)
        return list(result) if isinstance(result, tuple) else [result]

    @staticmethod
    def _check(binding: relax.Binding) -> None:
        value = binding.value
        if isinstance(value, relax.Call) and name_of(value) not in OPERATORS:
            raise UnsupportedModelError(
                f"gradients need operators with a definition in PyTorch, found none of {name_of(value)!r} for "
                f"{binding.var.name!r}: choose what needs no gradients"
            )
        if isinstance(value, relax.If | relax.Function) or not isinstance(binding, relax.VarBinding):
            raise UnsupportedModelError(
                f"gradients need a model without control flow, found {type(value).__name__} {binding.var.name!r}"
            )


class _Run:
    """One computation; `values` are those of the variables so far."""

    def __init__(
        self,
        constants: Mapping[Operand, torch.Tensor],
        parameters: Sequence[relax.Var],
        inputs: Sequence[torch.Tensor],
    ) -> None:
        self.values: dict[relax.Var, Any] = dict(zip(parameters, inputs, strict=True))
        self._constants = constants
        self._sizes: dict[tirx.Var, int] = {}
        for parameter, array in self.values.items():
            for extent, length in zip(parameter.ty.shape.values, array.shape, strict=True):
                if isinstance(extent, tvm.ir.Var):
                    self._sizes[extent] = length

    def value(self, value: Any, variable: relax.Var | None, path: tuple[int, ...] = ()) -> Any:
        """Of an expression that stands at a place of the value that defines a variable."""
        if isinstance(value, relax.Call):
            arguments = [self.value(argument, variable, (*path, place)) for place, argument in enumerate(value.args)]
            return OPERATORS[name_of(value)](value, arguments)
        if isinstance(value, tvm.ir.GenericConst):
            return self._constants[variable, path] if variable is not None else torch.from_dlpack(value.value)
        if isinstance(value, relax.Tuple):
            return tuple(self.value(part, variable, (*path, place)) for place, part in enumerate(value.fields))
        if isinstance(value, relax.TupleGetItem):
            return self.value(value.tuple_value, variable, path)[value.index]
        if isinstance(value, relax.ShapeExpr):
            return tuple(self._size(extent) for extent in value.values)
        if value in self.values:
            return self.values[value]
        return self._size(value)

    def _size(self, extent: Any) -> Any:
        """A number that is known, or made of the extents of the inputs."""
        if isinstance(extent, tvm.ir.Var) and extent in self._sizes:
            return self._sizes[extent]
        if type(extent) in _SIZES:
            return _SIZES[type(extent)](self._size(extent.a), self._size(extent.b))
        number = getattr(extent, "value", extent)
        if not isinstance(number, int | float):
            raise UnsupportedModelError(f"gradients need sizes that inputs have, found {extent}")
        return number


def _constants(value: Any, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], tvm.ir.GenericConst]]:
    """Those in an expression, with their places."""
    if isinstance(value, tvm.ir.GenericConst):
        yield path, value
    parts = value.args if isinstance(value, relax.Call) else value.fields if isinstance(value, relax.Tuple) else ()
    for place, part in enumerate(parts):
        yield from _constants(part, (*path, place))
