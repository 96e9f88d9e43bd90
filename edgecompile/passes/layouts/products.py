"""The ways of `matmul`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from tvm import relax

from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation, Implementations
from edgecompile.passes.layouts.known_weights import is_known
from edgecompile.passes.layouts.tensor_shapes import static_shape
from edgecompile.passes.layouts.way import PLAIN, Way, explain, explain_price, plain_way, variables_of
from edgecompile.storage.operators import is_decode, stored_weight

if TYPE_CHECKING:
    from edgecompile.passes.layouts.workshop import Workshop


def product_ways(call: relax.Call, implementations: Implementations) -> Sequence[Way]:
    """The templates for a known matrix or for batches, and loops without a template; all on plain tensors."""
    if is_batched_product(call):
        (*batch, rows, inner), columns = static_shape(call.args[0]) or (), (static_shape(call.args[1]) or ())[-1]
        offers = implementations.batched_products(rows, inner, columns)
        return _ways(call, offers, implementations.plain_cycles(math.prod(batch) * rows * inner * columns), _batched)
    problem = read_product(call)
    if isinstance(problem, str):
        return [plain_way(call, reason=problem)]
    outer = (static_shape(call.args[0]) or ())[:-1]
    found = [*implementations.products(outer, problem)]
    if is_decode(call.args[1]):
        found += implementations.stored_products(outer, problem, stored_weight(call.args[1]))
    return _ways(call, found, implementations.plain_cycles(problem.macs), _packed)


def _ways(
    call: relax.Call,
    offers: Sequence[Implementation],
    plain_cycles: float,
    build: Callable[[relax.Call, Implementation, Workshop], relax.Call],
) -> Sequence[Way]:
    if not offers:
        return [plain_way(call, plain_cycles, "no template takes it")]
    reads = dict.fromkeys(variables_of(call), PLAIN)
    plain = explain_price("loops without a template", plain_cycles, offers)
    return [
        *(Way(reads, PLAIN, offer.cycles, partial(build, call, offer), explain(offer, offers)) for offer in offers),
        plain_way(call, plain_cycles, plain),
    ]


def _packed(call: relax.Call, offer: Implementation, workshop: Workshop) -> relax.Call:
    constants = workshop.packed(call.args[1], offer, lambda matrix: matrix.T[:, :, None, None])
    x = workshop.substituted(call.args[0])
    return workshop.template(offer.name.split()[0], offer.compute, [x, *constants])


def _batched(call: relax.Call, offer: Implementation, workshop: Workshop) -> relax.Call:
    operands = [workshop.substituted(argument) for argument in call.args]
    return workshop.template(offer.name.split()[0], offer.compute, operands)


def read_product(call: relax.Call) -> Convolution | str:
    """`x @ w` with a known matrix w as a 1x1 convolution over the rows of x, or why it is none."""
    x, weight = call.args
    if not is_known(weight) or len(weight.ty.shape.values) != 2:
        return "its right side is no known matrix"
    shape = static_shape(x)
    if shape is None or len(shape) < 2 or str(x.ty.dtype) != "float32" or str(call.ty.dtype) != "float32":
        return "it is not float32 of static shape"
    rows = math.prod(shape[:-1])
    return Convolution(
        batch=1, in_channels=shape[-1], out_channels=int(weight.ty.shape.values[1]), height=1, width=rows
    )


def is_batched_product(call: relax.Call) -> bool:
    """True for `a @ w` of float32 where both have the same batch dimensions, at least one, and neither is a matrix."""
    shapes = [static_shape(argument) for argument in call.args]
    first, second = shapes
    if first is None or second is None or len(first) < 3 or first[:-2] != second[:-2] or min(first + second) == 0:
        return False
    return all(str(value.ty.dtype) == "float32" for value in (*call.args, call))
