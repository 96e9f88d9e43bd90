"""Operators whose output's size depends on the data: compiled where the data that decides is known at import."""

from __future__ import annotations

import numpy as np
from tvm.relax import op

from edgecompile.frontend.onnx.context import Context, Inputs, Result, make_constant, rank_of, shape_of
from edgecompile.frontend.onnx.emit import normalized_axis, reshape
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator


@operator("Compress")
def compress(context: Context, node: Node, inputs: Inputs) -> Result:
    """The entries of an axis (of the flat tensor without `axis`) where a known condition holds."""
    data = inputs[0]
    condition = context.require_constant(node, 1)
    if "axis" not in node.attributes:
        shape = context.require_static(node, data)
        data, axis = reshape(context, data, (int(np.prod(shape)),)), 0
    else:
        axis = normalized_axis(context, node.integer("axis"), rank_of(data))
    kept = np.flatnonzero(condition)
    length = shape_of(data)[axis]
    if isinstance(length, int) and condition.size > length:
        raise node.invalid(f"a condition of at most {length} entries was needed, found {condition.size}")
    return context.emit(op.take(data, make_constant(kept), axis=axis, mode="clip"))


@operator("NonZero", "Unique")
def refuse_unknown_size(context: Context, node: Node, inputs: Inputs) -> Result:
    """Known inputs were evaluated before; the size of the result of others is only known at run time."""
    raise node.unsupported(
        "the size of its result depends on the input's values, and compiled programs have fixed shapes; freeze the "
        "model input that it comes from, or cut the model before this node"
    )


@operator("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
def refuse_random(context: Context, node: Node, inputs: Inputs) -> Result:
    """A compiled program gives the same outputs for the same inputs."""
    raise node.unsupported(
        "it draws random numbers, and a compiled program is a function of its inputs alone; feed them as a model input"
    )
