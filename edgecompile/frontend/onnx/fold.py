"""Evaluates nodes whose inputs are all known: shape arithmetic and small constants vanish at import.

Large constant expressions (weights through a convolution, say) are left to the constant-folding pass. QuantizeLinear
and DequantizeLinear are never folded: where a model quantizes is information that the compiler needs.

`onnxscript.optimizer` as a step before the walk brought nothing: the same kernels and (nearly) the same bindings for
DenseNet-121, ResNet-50, ShuffleNet and SqueezeNet (1,746, 415, 446 and 105 nodes, none removed; up to 1.3 s), and the
same 39 and 6 kernels for unoptimised PyTorch exports of an encoder (227 -> 80 nodes) and a CNN (67 -> 8). It also
computes a constant before it looks at its size: an Expand of one number to 2**28 took 2.6 GB.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from edgecompile.frontend.onnx.node import Node

MAX_ELEMENTS = 2**20
"""The most elements that a folded output may have."""

# The output has at most as many elements as the inputs broadcast together.
_BOUNDED = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "BitShift",
        "BitwiseAnd",
        "BitwiseNot",
        "BitwiseOr",
        "BitwiseXor",
        "Cast",
        "CastLike",
        "Ceil",
        "Clip",
        "Cos",
        "CumSum",
        "Div",
        "Equal",
        "Erf",
        "Exp",
        "Flatten",
        "Floor",
        "Gather",
        "GatherElements",
        "GatherND",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "IsInf",
        "IsNaN",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Mean",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Pow",
        "Reciprocal",
        "Relu",
        "ReduceL1",
        "ReduceL2",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
        "Reshape",
        "Round",
        "ScatterElements",
        "ScatterND",
        "Shape",
        "Sigmoid",
        "Sign",
        "Sin",
        "Size",
        "Slice",
        "Softmax",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
        "Xor",
        "NonZero",
        "Unique",
        "TopK",
        "ArgMax",
        "ArgMin",
        "Compress",
    ]
)


def fold(node: Node, arrays: Sequence[np.ndarray | None], opsets: Mapping[str, int]) -> list[np.ndarray] | None:
    """The node's outputs where they can be computed now and stay small, else None."""
    if node.domain != "" or _output_elements(node, arrays) > MAX_ELEMENTS:
        return None
    given = [(name, array) for name, array in zip(node.inputs, arrays, strict=True) if array is not None]
    try:
        with np.errstate(all="ignore"):
            outputs = evaluate(node, dict(given), opsets)
    except Exception:  # the evaluator is a convenience: what it cannot do, the operator's function does or refuses
        return None
    arrays_out = [np.asarray(output) for output in outputs]
    return arrays_out if all(array.dtype != object for array in arrays_out) else None


def evaluate(node: Node, given: Mapping[str, np.ndarray], opsets: Mapping[str, int]) -> list[Any]:
    """The node's outputs by ONNX's own definition at the opsets at hand.

    The evaluator is given a model, because for a lone node it takes the newest opset whatever it is told.
    """
    graph = onnx.helper.make_graph(
        [node.proto],
        "fold",
        [onnx.ValueInfoProto(name=name) for name in given],
        [onnx.ValueInfoProto(name=name) for name in node.outputs if name],
    )
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in {"": node.opset, **opsets}.items()]
    return list(ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=imports)).run(None, dict(given)))


def _output_elements(node: Node, arrays: Sequence[np.ndarray | None]) -> float:
    known = [array for array in arrays if array is not None]
    total = sum(array.size for array in known)
    op = node.op_type
    if op in ("Constant", "Concat"):
        return total
    if op == "ConstantOfShape" and known:
        return math.prod(int(dim) for dim in known[0].reshape(-1))
    if op == "Expand" and len(known) == 2:
        return max(total, math.prod(int(dim) for dim in known[1].reshape(-1)) * max(known[0].size, 1))
    if op == "Tile" and len(known) == 2:
        return known[0].size * math.prod(int(count) for count in known[1].reshape(-1))
    if op == "Range" and len(known) == 3 and known[2].size == 1 and known[2].item() != 0:
        return abs((float(known[1].item()) - float(known[0].item())) / float(known[2].item()))
    if op == "GatherND" or op == "Gather" or op == "GatherElements":
        return total if op == "GatherElements" else math.prod((*known[0].shape[1:], *known[1].shape))
    if op not in _BOUNDED:
        return math.inf
    try:
        return max(total, math.prod(np.broadcast_shapes(*(array.shape for array in known))))
    except (
        ValueError
    ):  # shapes that do not broadcast belong to operators whose output is no larger than the first input
        return total
