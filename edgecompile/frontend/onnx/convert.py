"""An ONNX graph -> one dataflow block of a Relax function."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import tvm
from tvm import relax

from edgecompile.errors import UnsupportedModelError
from edgecompile.frontend.model import TensorSpec
from edgecompile.frontend.onnx.context import Value, shape_of
from edgecompile.frontend.onnx.scope import ConstantScope, Scope, find_value
from edgecompile.frontend.onnx.signature import describe, identifier, make_parameters
from edgecompile.frontend.onnx.walker import Walker


def convert(
    model: onnx.ModelProto, weights: Mapping[str, np.ndarray]
) -> tuple[tvm.IRModule, tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The Relax module of `model`, whose main graph's constants are `weights`; its inputs and its outputs.

    Raises:
        UnsupportedModelError: one message that names every node that cannot be imported, and why.
    """
    opsets = {("" if entry.domain == "ai.onnx" else entry.domain): entry.version for entry in model.opset_import}
    walker = Walker(model.functions)
    scope: Scope = ConstantScope(weights)
    parameters, inputs = make_parameters(model.graph.input)
    scope.update(parameters)
    bound: list[relax.Expr] = []
    failure: BaseException | None = None
    with walker.bb.function("main", params=list(parameters.values())):
        with walker.bb.dataflow():
            try:
                walker.walk(model.graph.node, scope, opsets)
                walker.raise_problems(len(model.graph.node))
                results = [(value.name, _tensor_result(walker, scope, value.name)) for value in model.graph.output]
                bound = [
                    walker.bb.emit_output(result, name_hint=identifier(name, "output")) for name, result in results
                ]
            except BaseException as error:  # the builder warns on standard error when its scopes are left half-way
                failure = error
        walker.bb.emit_func_output(bound[0] if len(bound) == 1 else relax.Tuple(bound))
    if failure is not None:
        raise failure
    module = relax.transform.CanonicalizeBindings()(walker.bb.get())
    module = relax.transform.DeadCodeElimination(["main"])(module)
    outputs = tuple(
        describe(value.name, bound_value) for value, bound_value in zip(model.graph.output, bound, strict=True)
    )
    return module, inputs, outputs


def _tensor_result(walker: Walker, scope: Mapping[str, Value], name: str) -> relax.Expr:
    """The value of the model's output `name`, which must be a tensor of known rank and a dtype that can be compiled."""
    value = find_value(scope, name)
    if isinstance(value, np.ndarray):
        raise UnsupportedModelError(
            f"output '{name}': a compilable dtype was needed, found {value.dtype}; cast it in the model"
        )
    if not isinstance(value, relax.Expr) or not isinstance(value.ty, relax.TensorType) or value.ty.ndim < 0:
        kind = (
            "a sequence" if isinstance(value, list) else "a value of unknown rank" if value is not None else "nothing"
        )
        raise UnsupportedModelError(f"output '{name}': a tensor was needed, found {kind}; change the model's outputs")
    if isinstance(value, tvm.ir.GenericConst) and 0 in shape_of(value):
        # TVM's own executables cannot store constants without elements.
        return walker.bb.emit(relax.op.zeros(relax.ShapeExpr(shape_of(value)), str(value.ty.dtype)))
    return value
