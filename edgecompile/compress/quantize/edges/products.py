"""Which convolutions and matrix products can read int8, and why the others stay float."""

from __future__ import annotations

import tvm
from tvm import relax

from edgecompile.compress.graph.uses import Uses
from edgecompile.compress.quantize.edges.kernel import source_of
from edgecompile.compress.quantize.edges.request import Reason, Request
from edgecompile.compress.quantize.quantizable import DYNAMIC_OPERATORS

_PRODUCTS = ("nn.conv2d", "matmul")


def integer_products(uses: Uses, request: Request, reasons: list[Reason]) -> list[relax.Var]:
    """Those that the request names and that can be int8, in order; `reasons` receives one for each product."""
    found = []
    for variable in uses.variables:
        if uses.operator(variable) not in _PRODUCTS:
            continue
        why_float = _why_float(uses, request, variable)
        how = "int8, scales at run time" if variable.name in request.dynamic else "int8"
        reasons.append(Reason(variable.name, not why_float, why_float or how))
        if not why_float:
            found.append(variable)
    return found


def _why_float(uses: Uses, request: Request, product: relax.Var) -> str:
    """Why a product stays float; "" where it does not."""
    call, name = uses.known_call(product), product.name
    x, weight = call.args
    if name not in request.products:
        if isinstance(weight, relax.Var):
            return "a product of two activations: float, with softmax in its kernel, unless attention asks for int8"
        return "the recipe leaves it float"
    if name in request.dynamic and uses.operator(product) not in DYNAMIC_OPERATORS:
        return "scales at run time are for matrix products; static activations would make it int8"
    if isinstance(weight, relax.Var):
        return _why_float_batch(uses, request, product)
    if not isinstance(weight, tvm.ir.GenericConst):
        return "its weight is no constant"
    if uses.operator(product) == "matmul" and len(weight.value.shape) != 2:
        return "its weight is no matrix"
    if str(call.ty.dtype) != "float32" or not isinstance(x, relax.Var):
        return "it is not float32, or reads a constant"
    if name in request.dynamic:
        return _why_no_rows(x)
    source = source_of(uses, x)
    return "" if source.name in request.ranges else f"the table has no range for {source.name}"


def _why_float_batch(uses: Uses, request: Request, product: relax.Var) -> str:
    """Why a product of two activations stays float; "" where it does not."""
    call = uses.known_call(product)
    shapes = [list(getattr(argument.ty.shape, "values", ())) for argument in call.args]
    batches = [[str(extent) for extent in shape[:-2]] for shape in shapes]
    if uses.operator(product) != "matmul" or batches[0] != batches[1] or not batches[0]:
        return "its weight is computed at run time"
    if str(call.ty.dtype) != "float32" or not isinstance(call.args[0], relax.Var) or product.name in request.dynamic:
        return "products of two activations are int8 with static scales of float32 tensors only"
    sources = [source_of(uses, argument).name for argument in call.args]
    missing = [name for name in sources if name not in request.ranges]
    return f"the table has no range for {missing[0]}" if missing else ""


def _why_no_rows(x: relax.Var) -> str:
    """Why a tensor cannot get its scales at run time; "" where it can."""
    shape = getattr(x.ty.shape, "values", None)
    if shape is None or not all(isinstance(extent, tvm.tirx.IntImm) for extent in shape):
        return "scales at run time are for shapes that are known at compile time"
    return "" if len(shape) > 1 else "it reads a vector"
