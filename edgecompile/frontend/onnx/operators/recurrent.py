"""LSTM, GRU and RNN, unrolled over a sequence of known length.

The inputs of all steps are projected by one matrix product before the first step. The steps then differ only in their
data, so that after fusion all share the kernels of one cell: code size does not depend on the length.
"""

from __future__ import annotations

from tvm import relax
from tvm.relax import op

from edgecompile.frontend.onnx.context import Context, Inputs, Result
from edgecompile.frontend.onnx.emit import scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.operators.recurrent_layer import (
    Cell,
    Layer,
    State,
    fields,
    finish,
    project_inputs,
    read_layer,
    require_shape,
    run_direction,
    sections,
)
from edgecompile.frontend.onnx.registry import operator


@operator("LSTM")
def lstm(context: Context, node: Node, inputs: Inputs) -> Result:
    """i, o, f = f(W x + R h + P * c + b), c' = g(...), C = f * c + i * c', H = o * h(C); stored as i, o, f, c."""
    layer = read_layer(context, node, inputs, 4, ("Sigmoid", "Tanh", "Tanh"))
    hidden_states, cell_states = layer.initial(inputs[5]), layer.initial(inputs[6])
    peepholes: list[relax.Expr | None] = [None] * len(layer.reverse)
    if inputs[7] is not None:
        require_shape(node, "peephole weight P", inputs[7], (len(layer.reverse), 3 * layer.hidden))
        peepholes = list(fields(context, inputs[7]))
    coupled = node.integer("input_forget", 0) == 1
    sequences, states = [], []
    for d in range(len(layer.reverse)):
        projected = project_inputs(layer, d, context.emit(op.add(*layer.bias[d])))
        cell = _lstm_cell(layer, d, peepholes[d], coupled)
        sequence, state = run_direction(layer, d, projected, (hidden_states[d], cell_states[d]), cell)
        sequences.append(sequence)
        states.append(state)
    return finish(layer, sequences, states)


def _lstm_cell(layer: Layer, direction: int, peephole: relax.Expr | None, coupled: bool) -> Cell:
    context = layer.context
    recurrent = context.emit(op.permute_dims(layer.r[direction], [1, 0]))
    gate, candidate, output = layer.activations[direction]
    one = scalar(1, layer.dtype)
    peep_i, peep_o, peep_f = (None, None, None) if peephole is None else sections(context, peephole, 3)

    def peeped(x: relax.Expr, weight: relax.Expr | None, c: relax.Expr) -> relax.Expr:
        return layer.clipped(x if weight is None else op.add(x, op.multiply(weight, c)))

    def cell(projected: relax.Expr, state: State) -> State:
        h, c = state
        gates = context.emit(op.add(projected, context.emit(op.matmul(h, recurrent))))
        i, o, f, candidate_in = sections(context, gates, 4)
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
    layer = read_layer(context, node, inputs, 3, ("Sigmoid", "Tanh"))
    hidden_states = layer.initial(inputs[5])
    after = node.integer("linear_before_reset", 0) == 1
    sequences, states = [], []
    for d in range(len(layer.reverse)):
        input_bias, recurrent_bias = layer.bias[d]
        projected = project_inputs(layer, d, input_bias if after else context.emit(op.add(input_bias, recurrent_bias)))
        cell = _gru_cell_reset_after(layer, d) if after else _gru_cell_reset_before(layer, d)
        sequence, state = run_direction(layer, d, projected, (hidden_states[d],), cell)
        sequences.append(sequence)
        states.append(state)
    return finish(layer, sequences, states)


def _mix(layer: Layer, update: relax.Expr, candidate: relax.Expr, h: relax.Expr) -> relax.Expr:
    return op.add(op.multiply(op.subtract(scalar(1, layer.dtype), update), candidate), op.multiply(update, h))


def _gru_cell_reset_before(layer: Layer, direction: int) -> Cell:
    context = layer.context
    transposed = context.emit(op.permute_dims(layer.r[direction], [1, 0]))
    r_z, r_r, r_h = sections(context, transposed, 3)
    r_gates = context.emit(op.concat([r_z, r_r], axis=1))
    gate, candidate = layer.activations[direction]

    def cell(projected: relax.Expr, state: State) -> State:
        (h,) = state
        x_z, x_r, x_h = sections(context, projected, 3)
        h_z, h_r = sections(context, context.emit(op.matmul(h, r_gates)), 2)
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
        x_z, x_r, x_h = sections(context, projected, 3)
        h_z, h_r, h_h = sections(context, context.emit(op.add(context.emit(op.matmul(h, recurrent)), bias)), 3)
        update = context.emit(gate(layer.clipped(op.add(x_z, h_z))))
        reset = gate(layer.clipped(op.add(x_r, h_r)))
        return (_mix(layer, update, candidate(layer.clipped(op.add(x_h, op.multiply(reset, h_h)))), h),)

    return cell


@operator("RNN")
def rnn(context: Context, node: Node, inputs: Inputs) -> Result:
    """H = f(W x + R h + b)."""
    layer = read_layer(context, node, inputs, 1, ("Tanh",))
    hidden_states = layer.initial(inputs[5])
    sequences, states = [], []
    for d in range(len(layer.reverse)):
        projected = project_inputs(layer, d, context.emit(op.add(*layer.bias[d])))
        recurrent = context.emit(op.permute_dims(layer.r[d], [1, 0]))
        sequence, state = run_direction(layer, d, projected, (hidden_states[d],), _rnn_cell(layer, d, recurrent))
        sequences.append(sequence)
        states.append(state)
    return finish(layer, sequences, states)


def _rnn_cell(layer: Layer, direction: int, recurrent: relax.Expr) -> Cell:
    (activation,) = layer.activations[direction]

    def cell(projected: relax.Expr, state: State) -> State:
        (h,) = state
        return (activation(layer.clipped(op.add(projected, layer.context.emit(op.matmul(h, recurrent))))),)

    return cell
