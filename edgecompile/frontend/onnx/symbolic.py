"""Shape arithmetic on dimensions that are not known before run time.

A value here is a NumPy array of rank 0 or 1 with dtype object: its entries are `int` or expressions of shape variables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm
from tvm import tirx

from edgecompile.frontend.onnx.node import Node

MAX_ENTRIES = 64
"""No shape has more entries; longer integer tensors are data."""


def evaluate(node: Node, arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """The node's only output as an array of expressions, or None when the operator is not shape arithmetic."""
    function = _FUNCTIONS.get(node.op_type)
    if function is None or node.domain != "" or any(a is not None and a.size > MAX_ENTRIES for a in arrays):
        return None
    try:
        result = function(node, list(arrays))
    except (ValueError, IndexError, TypeError):  # not a shape after all: the operator's own function decides
        return None
    if result is None or result.ndim > 1 or result.size > MAX_ENTRIES:
        return None
    simplified = [_simplify(entry) for entry in result.reshape(-1)]
    return _object_array(simplified, result.shape)


def _object_array(entries: Sequence[Any], shape: Sequence[int]) -> np.ndarray:
    array = np.empty(len(entries), dtype=object)
    for index, entry in enumerate(entries):
        array[index] = entry
    return array.reshape(tuple(shape))


def _simplify(entry: Any) -> Any:
    if isinstance(entry, (int, np.integer)):
        return int(entry)
    simple = tvm.sym.Analyzer().simplify(entry) if hasattr(tvm, "sym") else entry
    return int(simple) if isinstance(simple, tirx.IntImm) else simple


def _map(function: Callable[[Any, Any], Any], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    left, right = np.broadcast_arrays(a, b)
    entries = [function(x, y) for x, y in zip(left.reshape(-1), right.reshape(-1), strict=True)]
    return _object_array(entries, left.shape)


def _divide(x: Any, y: Any) -> Any:
    return tirx.truncdiv(x, y) if not (isinstance(x, int) and isinstance(y, int)) else int(x / y)


def _largest(x: Any, y: Any) -> Any:
    return tirx.max(x, y) if not (isinstance(x, int) and isinstance(y, int)) else max(x, y)


def _smallest(x: Any, y: Any) -> Any:
    return tirx.min(x, y) if not (isinstance(x, int) and isinstance(y, int)) else min(x, y)


def _slice(node: Node, arrays: list[Any]) -> np.ndarray | None:
    data = arrays[0]
    if node.opset < 10:
        starts, ends, steps = node.integers("starts"), node.integers("ends"), [1]
    else:
        starts, ends = arrays[1].reshape(-1).tolist(), arrays[2].reshape(-1).tolist()
        steps = arrays[4].reshape(-1).tolist() if len(arrays) > 4 and arrays[4] is not None else [1]
    if data.ndim != 1 or starts is None or ends is None or len(starts) != 1:
        return None
    return np.asarray(data[int(starts[0]) : int(ends[0]) : int(steps[0])])


def _gather(node: Node, arrays: list[Any]) -> np.ndarray | None:
    if arrays[0].ndim != 1:
        return None
    taken = [arrays[0][int(index)] for index in arrays[1].reshape(-1)]
    return _object_array(taken, arrays[1].shape)


def _concat(node: Node, arrays: list[Any]) -> np.ndarray | None:
    entries = [entry for array in arrays for entry in array.reshape(-1)]
    return _object_array(entries, [len(entries)])


def _reduce_product(node: Node, arrays: list[Any]) -> np.ndarray:
    product: Any = 1
    for entry in arrays[0].reshape(-1):
        product = product * entry
    return _object_array([product], [1] if node.integer("keepdims", 1) else [])


def _cast(node: Node, arrays: list[Any]) -> np.ndarray | None:
    return arrays[0] if node.integer("to") in (6, 7) else None  # int32, int64


def _reshape(node: Node, arrays: list[Any]) -> np.ndarray:
    return np.asarray(arrays[0].reshape([int(dim) for dim in arrays[1].reshape(-1)]))


_FUNCTIONS: dict[str, Callable[[Node, list[Any]], np.ndarray | None]] = {
    "Add": lambda node, arrays: _map(lambda x, y: x + y, arrays[0], arrays[1]),
    "Sub": lambda node, arrays: _map(lambda x, y: x - y, arrays[0], arrays[1]),
    "Mul": lambda node, arrays: _map(lambda x, y: x * y, arrays[0], arrays[1]),
    "Div": lambda node, arrays: _map(_divide, arrays[0], arrays[1]),
    "Max": lambda node, arrays: _map(_largest, arrays[0], arrays[1]) if len(arrays) == 2 else None,
    "Min": lambda node, arrays: _map(_smallest, arrays[0], arrays[1]) if len(arrays) == 2 else None,
    "Identity": lambda node, arrays: arrays[0],
    "Cast": _cast,
    "Squeeze": lambda node, arrays: arrays[0].reshape(()) if arrays[0].size == 1 else None,
    "Unsqueeze": lambda node, arrays: arrays[0].reshape((1,)) if arrays[0].ndim == 0 else None,
    "Reshape": _reshape,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "ReduceProd": _reduce_product,
}
