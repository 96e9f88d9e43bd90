"""The IR walk behind `FoldBatchNorm`."""

from __future__ import annotations

from collections import Counter

import numpy as np
import tvm
from tvm import relax
from tvm.relax.expr_functor import PyExprMutator, PyExprVisitor, mutator, visitor

from edgecompile.decision import Decision
from edgecompile.passes.batch_norm import BatchNorm, read_batch_norm, scaled_weight


@visitor
class _UseCounter(PyExprVisitor):
    """How often each variable is read."""

    def __init__(self) -> None:
        super().__init__()
        self.uses: Counter[relax.Var] = Counter()

    def visit_var_(self, variable: relax.Var) -> None:
        self.uses[variable] += 1

    def visit_dataflow_var_(self, variable: relax.DataflowVar) -> None:
        self.uses[variable] += 1


@mutator
class BatchNormRewriter(PyExprMutator):
    """Replaces `batch_norm(...)[0]`; what is left without readers is removed by dead code elimination."""

    def __init__(self, module: tvm.IRModule, main: relax.Function, step: str, decisions: list[Decision]) -> None:
        super().__init__(module)
        counter = _UseCounter()
        counter.visit_expr(main)
        self.uses = counter.uses
        self.values = {
            binding.var: binding.value
            for block in main.body.blocks
            for binding in block.bindings
            if isinstance(binding, relax.VarBinding)
        }
        self.step = step
        self.decisions = decisions

    def visit_tuple_getitem_(self, item: relax.TupleGetItem) -> relax.Expr:
        call = self._call_of(item.tuple_value)
        if item.index != 0 or call is None or call.op.name != "relax.nn.batch_norm":
            return super().visit_tuple_getitem_(item)
        norm = read_batch_norm(call)
        if isinstance(norm, str):
            self._record(item, False, norm)
            return super().visit_tuple_getitem_(item)
        return self._fold(item, call.args[0], norm)

    def _fold(self, item: relax.TupleGetItem, normalised: relax.Expr, norm: BatchNorm) -> relax.Expr:
        variable, bias, reason = self._layer_before(normalised, norm)
        if variable is None:
            self._record(item, True, f"multiplied and added at run time: {reason}")
            return self._scale_and_shift(self.visit_expr(normalised), norm)
        layer = self.values[variable]
        weight = scaled_weight(layer, norm)
        if isinstance(weight, str):
            self._record(item, True, f"multiplied and added at run time: {weight}")
            return self._scale_and_shift(self.visit_expr(normalised), norm)
        self._record(item, True, f"folded into the weights of {layer.op.name.removeprefix('relax.')}")
        arguments = [self.visit_expr(layer.args[0]), relax.const(weight)]
        call = relax.Call(layer.op, arguments, layer.attrs, layer.ty_args)
        product = self.builder_.emit(call, name_hint=variable.name)
        return relax.op.add(product, self._per_channel(bias * norm.scale + norm.shift, norm, layer.ty))

    def _layer_before(
        self, normalised: relax.Expr, norm: BatchNorm
    ) -> tuple[relax.Var | None, np.ndarray | float, str]:
        """The result of the layer that feeds the norm, the bias added in between, and the reason when there is none."""
        variable, call = normalised, self._call_of(normalised)
        bias: np.ndarray | float = 0.0
        if self.uses[normalised] != 1:
            return None, bias, "the value before it has other readers"
        if call is not None and call.op.name == "relax.add" and isinstance(call.args[1], tvm.ir.GenericConst):
            constant = call.args[1].value.numpy().astype(np.float64)
            if constant.size not in (1, norm.scale.size) or not _varies_along(constant, call.ty, norm.axis):
                return None, bias, "the bias before it does not follow its channels"
            if self.uses[call.args[0]] != 1:
                return None, bias, "the value before it has other readers"
            bias = constant.reshape(-1)
            variable, call = call.args[0], self._call_of(call.args[0])
        if call is None:
            return None, bias, "no layer comes before it"
        return variable, bias, ""

    def _call_of(self, variable: relax.Expr) -> relax.Call | None:
        """The call of an operator that computes `variable`, if one does."""
        value = self.values.get(variable)
        return value if isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.Op) else None

    def _scale_and_shift(self, value: relax.Expr, norm: BatchNorm) -> relax.Expr:
        scaled = self.builder_.emit(relax.op.multiply(value, self._per_channel(norm.scale, norm, value.ty)))
        return relax.op.add(scaled, self._per_channel(norm.shift, norm, value.ty))

    @staticmethod
    def _per_channel(values: np.ndarray, norm: BatchNorm, type_: relax.TensorType) -> relax.Expr:
        rank = type_.ndim
        shape = [1] * rank
        shape[norm.axis % rank] = -1
        channels = np.broadcast_to(values, norm.scale.shape)
        return relax.const(channels.reshape(shape).astype(str(type_.dtype)))

    def _record(self, item: relax.TupleGetItem, kept: bool, reason: str) -> None:
        self.decisions.append(Decision(self.step, item.tuple_value.name, kept, reason))


def _varies_along(constant: np.ndarray, type_: relax.TensorType, axis: int) -> bool:
    """True when the only axis of `constant` longer than one, counted from the end, is `axis` of the result."""
    rank = type_.ndim
    wide = [rank - constant.ndim + i for i, extent in enumerate(constant.shape) if extent > 1]
    return wide in ([], [axis % rank])
