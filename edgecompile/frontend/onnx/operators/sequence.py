"""Sequences and optional values, which exist at import only: a sequence is a Python list, an empty optional is None."""

from __future__ import annotations

import numpy as np
from tvm import relax
from tvm.relax import op

from edgecompile.frontend.onnx.context import Context, Inputs, Result, Value, make_constant, rank_of, shape_of
from edgecompile.frontend.onnx.emit import normalized_axis, reshape
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator
from edgecompile.settings import LIMITS


def _sequence(node: Node, value: Value) -> list[Value]:
    if not isinstance(value, list):
        raise node.invalid("a sequence was needed as its first input")
    return value


def _position(context: Context, node: Node, index: int, length: int, last: int, default: int) -> int:
    """The position in the input at `index`, from 0 to `last`; negative ones count back from `length`."""
    if index >= len(node.inputs) or node.inputs[index] == "":
        return default
    given = int(context.require_constant(node, index).reshape(-1)[0])
    position = given + length if given < 0 else given
    if not 0 <= position <= last:
        raise node.invalid(f"a position from {-length} to {last} was needed, found {given}")
    return position


@operator("SequenceEmpty")
def sequence_empty(context: Context, node: Node, inputs: Inputs) -> Result:
    """[]"""
    return []


@operator("SequenceConstruct", host_arrays=True)
def sequence_construct(context: Context, node: Node, inputs: Inputs) -> Result:
    """The inputs as one sequence."""
    return list(inputs)


@operator("SequenceAt")
def sequence_at(context: Context, node: Node, inputs: Inputs) -> Result:
    """The entry at a known position."""
    sequence = _sequence(node, inputs[0])
    if not sequence:
        raise node.invalid("a sequence with an entry was needed, found an empty one")
    return sequence[_position(context, node, 1, len(sequence), len(sequence) - 1, 0)]


@operator("SequenceInsert", host_arrays=True)
def sequence_insert(context: Context, node: Node, inputs: Inputs) -> Result:
    """The sequence with one more entry before a known position, by default at its end."""
    sequence = list(_sequence(node, inputs[0]))
    sequence.insert(_position(context, node, 2, len(sequence), len(sequence), len(sequence)), inputs[1])
    return sequence


@operator("SequenceErase")
def sequence_erase(context: Context, node: Node, inputs: Inputs) -> Result:
    """The sequence without the entry at a known position, by default without its last."""
    sequence = list(_sequence(node, inputs[0]))
    if not sequence:
        raise node.invalid("a sequence with an entry was needed, found an empty one")
    del sequence[_position(context, node, 1, len(sequence), len(sequence) - 1, len(sequence) - 1)]
    return sequence


@operator("SequenceLength")
def sequence_length(context: Context, node: Node, inputs: Inputs) -> Result:
    """The number of entries, known at import."""
    return make_constant(np.int64(len(_sequence(node, inputs[0]))))


@operator("ConcatFromSequence")
def concat_from_sequence(context: Context, node: Node, inputs: Inputs) -> Result:
    """The entries joined along an axis that they have, or stacked along a new one."""
    values = _sequence(node, inputs[0])
    if not values:
        raise node.unsupported("a sequence with an entry was needed to know the result's shape, found an empty one")
    new_axis = node.integer("new_axis", 0)
    axis = normalized_axis(context, node.integer("axis"), rank_of(values[0]) + new_axis)
    arrays = [context.constant(value) for value in values]
    if all(array is not None for array in arrays):
        joined = np.stack(arrays, axis) if new_axis else np.concatenate(arrays, axis)  # type: ignore[arg-type]
        return make_constant(joined)
    return context.emit((op.stack if new_axis else op.concat)(values, axis=axis))


@operator("SplitToSequence")
def split_to_sequence(context: Context, node: Node, inputs: Inputs) -> Result:
    """Pieces along an axis: of known sizes, of one known size (the last may be smaller), or single entries."""
    data = inputs[0]
    shape = context.require_static(node, data)
    axis = normalized_axis(context, node.integer("axis", 0), len(shape))
    length, keep = shape[axis], inputs[1] is not None or bool(node.integer("keepdims", 1))
    sizes = _piece_sizes(context, node, inputs, length)
    if len(sizes) > LIMITS.unrolled_iterations:
        raise node.unsupported(f"at most {LIMITS.unrolled_iterations} pieces can be made, found {len(sizes)}")
    if len(sizes) <= 1:
        pieces: list[relax.Expr] = [data] * len(sizes)
    else:
        cuts = [int(cut) for cut in np.cumsum(sizes)[:-1]]
        pieces = list(context.unpack(context.emit(op.split(data, cuts, axis=axis))))
    return pieces if keep else [reshape(context, piece, _without(shape_of(piece), axis)) for piece in pieces]


def _piece_sizes(context: Context, node: Node, inputs: Inputs, length: int) -> list[int]:
    if inputs[1] is None:
        return [1] * length
    split = context.require_constant(node, 1)
    if split.ndim == 0:
        size = int(split)
        if size <= 0:
            raise node.invalid(f"a positive size of the pieces was needed, found {size}")
        return [min(size, length - start) for start in range(0, length, size)]
    sizes = [int(entry) for entry in split]
    if min(sizes, default=0) < 0 or sum(sizes) != length:
        raise node.invalid(f"sizes that sum to {length} were needed, found {sizes}")
    return sizes


def _without(shape: tuple[object, ...], axis: int) -> tuple[object, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


@operator("SequenceMap")
def sequence_map(context: Context, node: Node, inputs: Inputs) -> Result:
    """The body on each entry of the sequences; inputs that are tensors are the same in each call."""
    first = _sequence(node, inputs[0])
    lengths = {len(value) for value in inputs if isinstance(value, list)}
    if len(lengths) != 1:
        raise node.invalid(f"sequences of one length were needed, found lengths {sorted(lengths)}")
    body = node.graph("body")
    results: list[list[Value]] = [[] for _ in body.output]
    for index in range(len(first)):
        arguments = [value[index] if isinstance(value, list) else value for value in inputs]
        for result, value in zip(results, context.convert_graph(body, arguments), strict=True):
            result.append(value)
    return tuple(results)


@operator("Optional", host_arrays=True)
def optional(context: Context, node: Node, inputs: Inputs) -> Result:
    """The input, or None where there is none."""
    return inputs[0]


@operator("OptionalHasElement", host_arrays=True)
def optional_has_element(context: Context, node: Node, inputs: Inputs) -> Result:
    """Whether there is a value, known at import."""
    return make_constant(np.bool_(inputs[0] is not None))


@operator("OptionalGetElement", host_arrays=True)
def optional_get_element(context: Context, node: Node, inputs: Inputs) -> Result:
    """The value; raises for an empty optional."""
    if inputs[0] is None:
        raise node.invalid("an optional with a value was needed, found an empty one")
    return inputs[0]
