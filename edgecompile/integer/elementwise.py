"""Functions of one number: what a chain, or any other graph, of elementwise operators makes of one tensor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tvm
import tvm_ffi
from tvm import relax

ELEMENTWISE = frozenset(
    (
        *("abs", "ceil", "cos", "erf", "exp", "floor", "log", "negative", "round", "rsqrt", "sigmoid", "sign", "sin"),
        *("sinh", "cosh", "tan", "tanh", "asin", "acos", "atan", "asinh", "acosh", "atanh", "sqrt", "square", "trunc"),
        *("nn.gelu", "nn.gelu_tanh", "nn.leakyrelu", "nn.relu", "nn.relu6", "nn.selu", "nn.silu", "nn.softplus"),
        *("add", "subtract", "multiply", "divide", "floor_divide", "maximum", "minimum", "mod", "power", "clip"),
        *("greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "where"),
        *("logical_and", "logical_not", "logical_or", "isnan", "isinf", "isfinite"),
    )
)
"""Relax operators that compute each number from the numbers at the same place."""

CallOf = Callable[[relax.Expr], "relax.Call | None"]


def argument_of(value: relax.Expr, call_of: CallOf) -> relax.Var | None:
    """The one variable of which a tensor is a function, number by number; None where there are several, or none.

    Args:
        call_of: the call that defines a variable, and None for inputs and for what shall count as an argument. Also the
            constants of the function have one number each.
    """
    found: set[relax.Var] = set()
    seen: set[relax.Var] = set()

    def visit(variable: relax.Expr, shape: relax.Expr) -> bool:
        """False where it is no function of numbers."""
        if isinstance(variable, tvm.ir.GenericConst):
            return _is_number(variable)
        if not isinstance(variable, relax.Var):
            return not isinstance(variable, relax.Call | relax.Tuple)
        if variable in seen:
            return True
        seen.add(variable)
        if not isinstance(variable.ty, relax.TensorType) or not tvm_ffi.structural_equal(variable.ty.shape, shape):
            return False
        call = call_of(variable)
        if call is None or call.op.name.removeprefix("relax.") not in ELEMENTWISE:
            found.add(variable)
            return len(found) == 1
        return all(visit(argument, shape) for argument in call.args)

    is_tensor = isinstance(value, relax.Var) and isinstance(value.ty, relax.TensorType)
    is_function = is_tensor and visit(value, value.ty.shape)
    return found.pop() if is_function and len(found) == 1 else None


def evaluate(value: relax.Expr, argument: relax.Var, call_of: CallOf, numbers: np.ndarray) -> np.ndarray:
    """What TVM computes of the function `value` of `argument` for a vector of float32."""
    builder = relax.BlockBuilder()
    done: dict[relax.Var, relax.Expr] = {argument: relax.const(numbers.astype(np.float32), "float32")}

    def renewed(old: relax.Expr) -> relax.Expr:
        if isinstance(old, tvm.ir.GenericConst):
            array = old.value.numpy().reshape(())
            return relax.const(array, str(array.dtype))
        if not isinstance(old, relax.Var):
            return old
        if old not in done:
            call = call_of(old)
            assert call is not None
            done[old] = builder.emit(relax.Call(call.op, [renewed(item) for item in call.args], call.attrs))
        return done[old]

    with builder.function("main", []):
        with builder.dataflow():
            result = builder.emit_output(renewed(value))
        builder.emit_func_output(result)
    folded = relax.transform.FoldConstant()(relax.transform.LegalizeOps()(builder.get()))
    body = folded["main"].body
    found = body.body if isinstance(body.body, tvm.ir.GenericConst) else body.blocks[0].bindings[-1].value
    return np.asarray(found.value.numpy())


def _is_number(constant: tvm.ir.GenericConst) -> bool:
    return bool(constant.value.numpy().size == 1)
