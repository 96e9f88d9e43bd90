"""LSTM, GRU and RNN, unrolled over a sequence of known length.

The inputs of all steps are projected by one matrix product before the first step. The steps then differ only in their
data, so that after fusion all share the kernels of one cell: code size does not depend on the length.
"""

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
from edgecompile.frontend.onnx.registry import operator
from edgecompile.settings import LIMITS

State: TypeAlias = "tuple[relax.Expr, ...]"
Cell: TypeAlias = Callable[[relax.Expr, State], State]
"""(projected inputs [B, gates * H], state) -> the next state; its first entry is the hidden state [B, H]."""


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
        _require_shape(self.node, "initial state", value, (count, self.batch, self.hidden))
        return _fields(self.context, value)


def _require_shape(node: Node, what: str, value: relax.Expr, expected: Sequence[int]) -> None:
    if shape_of(value) != tuple(expected):
        raise node.invalid(f"the {what} must have shape {list(expected)}, found {list(map(str, shape_of(value)))}")


def _fields(context: Context, value: relax.Expr) -> list[relax.Expr]:
    """[N, ...] -> N tensors [...]."""
    count, *rest = shape_of(value)
    if count == 1:
        return [reshape(context, value, rest)]
    parts = context.emit(op.split(value, count, axis=0))
    return [reshape(context, part, rest) for part in context.unpack(parts)]


def _sections(context: Context, value: relax.Expr, count: int) -> tuple[relax.Expr, ...]:
    """[..., count * H] -> `count` tensors [..., H]."""
    return context.unpack(context.emit(op.split(value, count, axis=-1))) if count > 1 else (value,)


def _read_layer(context: Context, node: Node, inputs: Inputs, gates: int, default: tuple[str, ...]) -> Layer:
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
    _require_shape(node, "weight W", w, (count, gates * hidden, features))
    _require_shape(node, "weight R", r, (count, gates * hidden, hidden))
    dtype = dtype_of(x)
    if b is None:
        b = make_constant(np.zeros((count, 2 * gates * hidden), dtype))
    _require_shape(node, "bias B", b, (count, 2 * gates * hidden))
    known_lengths = context.constant(lengths)
    if known_lengths is not None and (known_lengths == steps).all():
        lengths = None
    activations = node_activations(node, default, count * len(default), dtype)
    per_cell = len(default)
    return Layer(
        context, node, steps, batch, hidden, dtype, x,
        tuple(_fields(context, w)),
        tuple(_fields(context, r)),
        tuple(_sections(context, part, 2) for part in _fields(context, b)),
        lengths,
        reverse,
        tuple(tuple(activations[d * per_cell : (d + 1) * per_cell]) for d in range(count)),
        batch_first,
    )  # fmt: skip


def _project(layer: Layer, direction: int, bias: relax.Expr) -> list[relax.Expr]:
    """The inputs of every step through W, with `bias` [gates * H] added. -> S tensors [B, gates * H]."""
    context = layer.context
    _, _, features = shape_of(layer.x)
    flat = reshape(context, layer.x, (layer.steps * layer.batch, features))
    weight = context.emit(op.permute_dims(layer.w[direction], [1, 0]))
    projected = context.emit(op.add(context.emit(op.matmul(flat, weight)), bias))
    width = shape_of(layer.w[direction])[0]
    return _fields(context, reshape(context, projected, (layer.steps, layer.batch, width)))


def _run(
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
    return context.emit(op.stack(outputs, axis=0)), state


def _finish(layer: Layer, sequences: Sequence[relax.Expr], states: Sequence[State]) -> Result:
    """Y [S, D, B, H] and the last states [D, B, H] each; batch first where the layer is."""
    context = layer.context
    y = context.emit(op.stack(list(sequences), axis=2 if layer.batch_first else 1))
    if layer.batch_first:
        y = context.emit(op.permute_dims(y, [1, 0, 2, 3]))
    axis = 1 if layer.batch_first else 0
    last = [context.emit(op.stack([state[index] for state in states], axis=axis)) for index in range(len(states[0]))]
    return (y, *last)


@operator("LSTM")
def lstm(context: Context, node: Node, inputs: Inputs) -> Result:
    """i, o, f = f(W x + R h + P * c + b), c' = g(...), C = f * c + i * c', H = o * h(C); stored as i, o, f, c."""
    layer = _read_layer(context, node, inputs, 4, ("Sigmoid", "Tanh", "Tanh"))
    hidden_states, cell_states = layer.initial(inputs[5]), layer.initial(inputs[6])
    peepholes: list[relax.Expr | None] = [None] * len(layer.reverse)
    if inputs[7] is not None:
        _require_shape(node, "peephole weight P", inputs[7], (len(layer.reverse), 3 * layer.hidden))
        peepholes = list(_fields(context, inputs[7]))
    coupled = node.integer("input_forget", 0) == 1
    sequences, states = [], []
    for d in range(len(layer.reverse)):
        projected = _project(layer, d, context.emit(op.add(*layer.bias[d])))
        cell = _lstm_cell(layer, d, peepholes[d], coupled)
        sequence, state = _run(layer, d, projected, (hidden_states[d], cell_states[d]), cell)
        sequences.append(sequence)
        states.append(state)
    return _finish(layer, sequences, states)


def _lstm_cell(layer: Layer, direction: int, peephole: relax.Expr | None, coupled: bool) -> Cell:
    context = layer.context
    recurrent = context.emit(op.permute_dims(layer.r[direction], [1, 0]))
    gate, candidate, output = layer.activations[direction]
    one = scalar(1, layer.dtype)
    peep_i, peep_o, peep_f = (None, None, None) if peephole is None else _sections(context, peephole, 3)

    def peeped(x: relax.Expr, weight: relax.Expr | None, c: relax.Expr) -> relax.Expr:
        return layer.clipped(x if weight is None else op.add(x, op.multiply(weight, c)))

    def cell(projected: relax.Expr, state: State) -> State:
        h, c = state
        gates = context.emit(op.add(projected, context.emit(op.matmul(h, recurrent))))
        i, o, f, candidate_in = _sections(context, gates, 4)
        input_gate = context.emit(gate(peeped(i, peep_i, c)))
        forget_gate = op.subtract(one, input_gate) if coupled else gate(peeped(f, peep_f, c))
        kept = op.multiply(forget_gate, c)
        new_c = context.emit(op.add(kept, op.multiply(input_gate, candidate(layer.clipped(candidate_in)))))
        new_h = op.multiply(gate(peeped(o, peep_o, new_c)), output(new_c))
        return new_h, new_c

    return cell


@operator("GRU")
def gru(context: Context, node: Node, inputs: Inputs) -> Result:
    """z, r = f(W x + R h + b), h' = g(W x + R (r * h) + b), H = (1 - z) * h' + z * h; gates are stored as z, r, h.

    With `linear_before_reset` the candidate is g(W x + bw + r * (R h + br)).
    """
    layer = _read_layer(context, node, inputs, 3, ("Sigmoid", "Tanh"))
    hidden_states = layer.initial(inputs[5])
    after = node.integer("linear_before_reset", 0) == 1
    sequences, states = [], []
    for d in range(len(layer.reverse)):
        input_bias, recurrent_bias = layer.bias[d]
        projected = _project(layer, d, input_bias if after else context.emit(op.add(input_bias, recurrent_bias)))
        cell = _gru_cell_reset_after(layer, d) if after else _gru_cell_reset_before(layer, d)
        sequence, state = _run(layer, d, projected, (hidden_states[d],), cell)
        sequences.append(sequence)
        states.append(state)
    return _finish(layer, sequences, states)


def _mix(layer: Layer, update: relax.Expr, candidate: relax.Expr, h: relax.Expr) -> relax.Expr:
    return op.add(op.multiply(op.subtract(scalar(1, layer.dtype), update), candidate), op.multiply(update, h))


def _gru_cell_reset_before(layer: Layer, direction: int) -> Cell:
    context = layer.context
    transposed = context.emit(op.permute_dims(layer.r[direction], [1, 0]))
    r_z, r_r, r_h = _sections(context, transposed, 3)
    r_gates = context.emit(op.concat([r_z, r_r], axis=1))
    gate, candidate = layer.activations[direction]

    def cell(projected: relax.Expr, state: State) -> State:
        (h,) = state
        x_z, x_r, x_h = _sections(context, projected, 3)
        h_z, h_r = _sections(context, context.emit(op.matmul(h, r_gates)), 2)
        update = context.emit(gate(layer.clipped(op.add(x_z, h_z))))
        reset = gate(layer.clipped(op.add(x_r, h_r)))
        h_h = context.emit(op.matmul(context.emit(op.multiply(reset, h)), r_h))
        return (_mix(layer, update, candidate(layer.clipped(op.add(x_h, h_h))), h),)

    return cell


def _gru_cell_reset_after(layer: Layer, direction: int) -> Cell:
    context = layer.context
    recurrent = context.emit(op.permute_dims(layer.r[direction], [1, 0]))
    bias = layer.bias[direction][1]
    gate, candidate = layer.activations[direction]

    def cell(projected: relax.Expr, state: State) -> State:
        (h,) = state
        x_z, x_r, x_h = _sections(context, projected, 3)
        h_z, h_r, h_h = _sections(context, context.emit(op.add(context.emit(op.matmul(h, recurrent)), bias)), 3)
        update = context.emit(gate(layer.clipped(op.add(x_z, h_z))))
        reset = gate(layer.clipped(op.add(x_r, h_r)))
        return (_mix(layer, update, candidate(layer.clipped(op.add(x_h, op.multiply(reset, h_h)))), h),)

    return cell


@operator("RNN")
def rnn(context: Context, node: Node, inputs: Inputs) -> Result:
    """H = f(W x + R h + b)."""
    layer = _read_layer(context, node, inputs, 1, ("Tanh",))
    hidden_states = layer.initial(inputs[5])
    sequences, states = [], []
    for d in range(len(layer.reverse)):
        projected = _project(layer, d, context.emit(op.add(*layer.bias[d])))
        recurrent = context.emit(op.permute_dims(layer.r[d], [1, 0]))
        sequence, state = _run(layer, d, projected, (hidden_states[d],), _rnn_cell(layer, d, recurrent))
        sequences.append(sequence)
        states.append(state)
    return _finish(layer, sequences, states)


def _rnn_cell(layer: Layer, direction: int, recurrent: relax.Expr) -> Cell:
    (activation,) = layer.activations[direction]

    def cell(projected: relax.Expr, state: State) -> State:
        (h,) = state
        return (activation(layer.clipped(op.add(projected, layer.context.emit(op.matmul(h, recurrent))))),)

    return cell
