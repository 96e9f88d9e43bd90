"""`rewrite`: layers of a module to the factors that take their places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgecompile.compress.lowrank.factors import Factor, Factors

if TYPE_CHECKING:
    import tvm
    from tvm import relax


def rewrite(module: tvm.IRModule, factors: Mapping[str, Factors]) -> tvm.IRModule:
    """The module in which each of these layers is a chain.

        conv = nn.conv2d(x, W)                  ->  conv_u = nn.conv2d(x, U)
                                                    conv_core = nn.conv2d(conv_u, C)
                                                    conv = nn.conv2d(conv_core, V)

    The last keeps the layer's name, so what reads it, a bias or a norm among them, stays as it is.

    Args:
        module: its `main` is one dataflow block.
        factors: by the name of a layer.
    """
    from tvm import relax

    from edgecompile.compress.graph.edit import edited

    values: dict[relax.Var, relax.Expr] = {}
    before: dict[relax.Var, list[tuple[relax.Var, relax.Expr]]] = {}
    for binding in module["main"].body.blocks[0].bindings:
        found = factors.get(binding.var.name)
        if found is None:
            continue
        call = binding.value
        source, chain = call.args[0], []
        for factor in found.inner:
            place = relax.Var(f"{binding.var.name}{factor.suffix}", None)
            chain.append((place, _applied(call, source, factor)))
            source = place
        before[binding.var] = chain
        values[binding.var] = _applied(call, source, found.last)
    return edited(module, values=values, before=before)


def _applied(layer: relax.Call, source: relax.Expr, factor: Factor) -> relax.Expr:
    from tvm import relax

    if layer.op.name == "relax.matmul":
        return relax.op.matmul(source, relax.const(factor.weight[:, :, 0, 0].T.copy()), layer.attrs.out_dtype or None)
    return relax.op.nn.conv2d(
        source,
        relax.const(factor.weight),
        strides=factor.strides,
        padding=factor.padding,
        dilation=factor.dilation,
        groups=factor.groups,
        out_dtype=layer.attrs.out_dtype or None,
    )
