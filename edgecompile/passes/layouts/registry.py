"""Which operators have ways besides the plain one: one line for each family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tvm
from tvm import relax

from edgecompile.implementation import Implementations
from edgecompile.integer import operators
from edgecompile.passes.layouts.convolutions import convolution_ways
from edgecompile.passes.layouts.elementwise import BINARY, UNARY, binary_ways, unary_ways
from edgecompile.passes.layouts.integers import (
    integer_convolution_ways,
    integer_elementwise_ways,
    integer_product_ways,
    quantize_ways,
    resample_ways,
    sum_ways,
)
from edgecompile.passes.layouts.joins import concat_ways, field_ways, split_ways
from edgecompile.passes.layouts.pixels import pad_ways, resize_ways
from edgecompile.passes.layouts.poolings import GLOBAL_POOLS, MEANS, POOLS, global_pool_ways, mean_ways, pool_ways
from edgecompile.passes.layouts.products import product_ways
from edgecompile.passes.layouts.transposed_convolutions import transposed_convolution_ways
from edgecompile.passes.layouts.way import Way, plain_way

_BY_OPERATOR: Mapping[str, Callable[[relax.Call, Implementations], Sequence[Way]]] = {
    "relax.nn.conv2d": convolution_ways,
    "relax.nn.conv2d_transpose": transposed_convolution_ways,
    "relax.matmul": product_ways,
    "relax.concat": concat_ways,
    "relax.split": split_ways,
    "relax.image.resize2d": resize_ways,
    "relax.nn.pad": pad_ways,
    operators.CONV2D: integer_convolution_ways,
    operators.MATMUL: integer_product_ways,
    **dict.fromkeys(
        (operators.REQUANTIZE, operators.ADD, operators.MULTIPLY, operators.LOOKUP), integer_elementwise_ways
    ),
    operators.RESAMPLE: resample_ways,
    **dict.fromkeys(("relax.quantize", "relax.dequantize"), quantize_ways),
    "relax.sum": sum_ways,
    **dict.fromkeys(UNARY, unary_ways),
    **dict.fromkeys(BINARY, binary_ways),
    **dict.fromkeys(POOLS, pool_ways),
    **dict.fromkeys(GLOBAL_POOLS, global_pool_ways),
    **dict.fromkeys(MEANS, mean_ways),
}


def ways_of(value: relax.Expr, implementations: Implementations) -> Sequence[Way]:
    """The ways to compute a binding's value, the preferred first; at least the plain one."""
    if isinstance(value, relax.TupleGetItem):
        return field_ways(value, implementations)
    if isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.Op):
        list_ways = _BY_OPERATOR.get(value.op.name)
        if list_ways is not None:
            return list_ways(value, implementations)
    return [plain_way(value)]
