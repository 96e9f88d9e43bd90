"""What LSTM, GRU and RNN share: reading the node, projecting its inputs, and running one direction over the steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from tvm import relax
from tvm.relax import op

from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, make_constant, shape_of
from edgecompile.frontend.onnx.emit import cast, reshape, scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.operators.recurrent_activations import Activation, node_activations
from edgecompile.settings import LIMITS

State: TypeAlias = "tuple[relax.Expr, ...]"
Cell: TypeAlias = Callable[[relax.Expr, State], State]
"""(projected inputs [B, gates * H], state) -> the next state; its first entry is the hidden state [B, H]."""


_GROUP = 16
"""The most tensors that one kernel joins."""


@dataclass(frozen=True)
class Layer:
    """What LSTM, GRU and RNN have in common; S steps, batch B, I input features, H hidden ones, D directions.

    Attributes:
        x: [S, B, I].
        w: D times [gates * H, I].
        r: D times [gates * H, H].
        bias: D times a pair (input bias, recurrent bias), each [gates * H].
        lengths: [B] integers, or None where every sequence has S steps.
        reverse: for each direction, whether it runs from the last step to the first.
        activations: D times the activations of one cell.
        batch_first: `layout` 1, where the batch is the first axis of inputs and outputs.
    """

    context: Context
    node: Node
    steps: int
    batch: int
    hidden: int
    dtype: str
    x: relax.Expr
    w: tuple[relax.Expr, ...]
    r: tuple[relax.Expr, ...]
    bias: tuple[tuple[relax.Expr, relax.Expr], ...]
    lengths: relax.Expr | None
    reverse: tuple[bool, ...]
    activations: tuple[tuple[Activation, ...], ...]
    batch_first: bool

    def clipped(self, x: relax.Expr) -> relax.Expr:
        """`x` within the attribute `clip`, which bounds what goes into activations."""
        if "clip" not in self.node.attributes:
            return x
        bound = self.node.floating("clip")
        return op.minimum(op.maximum(x, scalar(-bound, self.dtype)), scalar(bound, self.dtype))

    def initial(self, value: relax.Expr | None) -> list[relax.Expr]:
        """The initial state of each direction, [B, H]; zeros where the model gives none."""
        count = len(self.reverse)
        if value is None:
            return [make_constant(np.zeros((self.batch, self.hidden), self.dtype))] * count
        if self.batch_first:
            value = self.context.emit(op.permute_dims(value, [1, 0, 2]))
        require_shape(self.node, "initial state", value, (count, self.batch, self.hidden))
        return fields(self.context, value)


def require_shape(node: Node, what: str, value: relax.Expr, expected: Sequence[int]) -> None:
    if shape_of(value) != tuple(expected):
        raise node.invalid(f"the {what} must have shape {list(expected)}, found {list(map(str, shape_of(value)))}")


def fields(context: Context, value: relax.Expr) -> list[relax.Expr]:
    """[N, ...] -> N tensors [...]."""
    count, *rest = shape_of(value)
    if count == 1:
        return [reshape(context, value, rest)]
    parts = context.emit(op.split(value, count, axis=0))
    return [reshape(context, part, rest) for part in context.unpack(parts)]


def sections(context: Context, value: relax.Expr, count: int) -> tuple[relax.Expr, ...]:
    """[..., count * H] -> `count` tensors [..., H]."""
    return context.unpack(context.emit(op.split(value, count, axis=-1))) if count > 1 else (value,)


def read_layer(context: Context, node: Node, inputs: Inputs, gates: int, default: tuple[str, ...]) -> Layer:
    """Checks shapes and attributes; slices the weights by direction."""
    x, w, r, b, lengths = (inputs[index] for index in range(5))
    batch_first = node.integer("layout", 0) == 1
    if batch_first:
        x = context.emit(op.permute_dims(x, [1, 0, 2]))
    steps, batch, features = context.require_static(node, x)
    if steps > LIMITS.unrolled_iterations:
        raise node.unsupported(
            f"at most {LIMITS.unrolled_iterations} steps can be unrolled, found {steps}; split the sequence"
        )
    if steps == 0:
        raise node.unsupported("a sequence of at least one step was needed, found none; give the inputs' shapes")
    direction = node.string("direction", "forward")
    directions = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    if direction not in directions:
        raise node.invalid(f"direction must be forward, reverse or bidirectional, found {direction!r}")
    reverse = directions[direction]
    count = len(reverse)
    hidden = context.require_static(node, r)[-1]
    if "hidden_size" in node.attributes and node.integer("hidden_size") != hidden:
        raise node.invalid(
            f"hidden_size must be the last dimension of R, {hidden}, found {node.integer('hidden_size')}"
        )
    require_shape(node, "weight W", w, (count, gates * hidden, features))
    require_shape(node, "weight R", r, (count, gates * hidden, hidden))
    dtype = dtype_of(x)
    if b is None:
        b = make_constant(np.zeros((count, 2 * gates * hidden), dtype))
    require_shape(node, "bias B", b, (count, 2 * gates * hidden))
    known_lengths = context.constant(lengths)
    if known_lengths is not None and (known_lengths == steps).all():
        lengths = None
    activations = node_activations(node, default, count * len(default), dtype)
    per_cell = len(default)
    return Layer(
        context, node, steps, batch, hidden, dtype, x,
        tuple(fields(context, w)),
        tuple(fields(context, r)),
        tuple(sections(context, part, 2) for part in fields(context, b)),
        lengths,
        reverse,
        tuple(tuple(activations[d * per_cell : (d + 1) * per_cell]) for d in range(count)),
        batch_first,
    )  # fmt: skip


def project_inputs(layer: Layer, direction: int, bias: relax.Expr) -> list[relax.Expr]:
    """The inputs of every step through W, with `bias` [gates * H] added. -> S tensors [B, gates * H]."""
    context = layer.context
    _, _, features = shape_of(layer.x)
    flat = reshape(context, layer.x, (layer.steps * layer.batch, features))
    weight = context.emit(op.permute_dims(layer.w[direction], [1, 0]))
    projected = context.emit(op.add(context.emit(op.matmul(flat, weight)), bias))
    width = shape_of(layer.w[direction])[0]
    return fields(context, reshape(context, projected, (layer.steps, layer.batch, width)))


def run_direction(
    layer: Layer, direction: int, projected: Sequence[relax.Expr], state: State, cell: Cell
) -> tuple[relax.Expr, State]:
    """Runs one direction. -> (the hidden states of all steps [S, B, H], the last state).

    Past the end of a shorter sequence the state stays and the output is 0. Running backwards over the same mask, the
    state stays initial until the sequence's last step: that is its reversal.
    """
    context = layer.context
    outputs: list[relax.Expr] = [state[0]] * layer.steps
    order = range(layer.steps - 1, -1, -1) if layer.reverse[direction] else range(layer.steps)
    for step in order:
        following = tuple(context.emit(value) for value in cell(projected[step], state))
        outputs[step] = following[0]
        if layer.lengths is not None:
            lengths = cast(context, layer.lengths, "int64")
            active = context.emit(op.greater(reshape(context, lengths, (layer.batch, 1)), scalar(step, "int64")))
            outputs[step] = context.emit(op.where(active, following[0], scalar(0, layer.dtype)))
            following = tuple(
                context.emit(op.where(active, new, old)) for new, old in zip(following, state, strict=True)
            )
        state = following
    return _stack(context, outputs), state


def _stack(context: Context, values: list[relax.Expr]) -> relax.Expr:
    """N tensors [..] -> [N, ..], in groups of groups.

    One kernel of N inputs would be a chain of N choices for each element: quadratic in N to compile and to run.
    """
    if len(values) <= _GROUP:
        return context.emit(op.stack(values, axis=0))
    groups = [_stack(context, values[i : i + _GROUP]) for i in range(0, len(values), _GROUP)]
    while len(groups) > 1:
        chunks = [groups[i : i + _GROUP] for i in range(0, len(groups), _GROUP)]
        groups = [chunk[0] if len(chunk) == 1 else context.emit(op.concat(chunk, axis=0)) for chunk in chunks]
    return groups[0]


def finish(layer: Layer, sequences: Sequence[relax.Expr], states: Sequence[State]) -> Result:
    """Y [S, D, B, H] and the last states [D, B, H] each; batch first where the layer is."""
    context = layer.context
    y = context.emit(op.stack(list(sequences), axis=2 if layer.batch_first else 1))
    if layer.batch_first:
        y = context.emit(op.permute_dims(y, [1, 0, 2, 3]))
    axis = 1 if layer.batch_first else 0
    last = [context.emit(op.stack([state[index] for state in states], axis=axis)) for index in range(len(states[0]))]
    return (y, *last)
