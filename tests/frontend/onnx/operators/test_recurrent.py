"""LSTM, GRU and RNN against ONNX Runtime on odd sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.operators.one_node import check_model, make_model

STEPS, BATCH, FEATURES, HIDDEN = 3, 3, 5, 7
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def make_inputs(op_type: str, directions: int, left_out: tuple[str, ...] = ()) -> dict[str, np.ndarray | None]:
    rng = np.random.default_rng(0)
    gates = GATES[op_type]

    def normal(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.5).astype(np.float32)

    inputs: dict[str, np.ndarray | None] = {
        "x": normal(STEPS, BATCH, FEATURES),
        "w": normal(directions, gates * HIDDEN, FEATURES),
        "r": normal(directions, gates * HIDDEN, HIDDEN),
        "b": normal(directions, 2 * gates * HIDDEN),
        "lengths": np.array([3, 1, 2], np.int32),
        "h0": normal(directions, BATCH, HIDDEN),
    }
    if op_type == "LSTM":
        inputs["c0"] = normal(directions, BATCH, HIDDEN)
        inputs["p"] = normal(directions, 3 * HIDDEN)
    return {name: None if name in left_out else array for name, array in inputs.items()}


def outputs_of(op_type: str) -> list[str]:
    return ["float32"] * (3 if op_type == "LSTM" else 2)


@pytest.mark.parametrize(
    ("op_type", "direction"),
    [("LSTM", "bidirectional"), ("GRU", "bidirectional"), ("RNN", "bidirectional"), ("GRU", "reverse")],
)
def test_directions_with_every_input(op_type: str, direction: str) -> None:
    inputs = make_inputs(op_type, 2 if direction == "bidirectional" else 1)
    proto = make_model(op_type, inputs, outputs=outputs_of(op_type), hidden_size=HIDDEN, direction=direction)
    check_model(proto, inputs)


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("LSTM", {"input_forget": 1}),
        ("LSTM", {"clip": 0.3}),
        ("GRU", {"linear_before_reset": 1}),
        ("GRU", {"linear_before_reset": 1, "clip": 0.2}),
        ("RNN", {"clip": 0.1}),
        (
            "LSTM",
            {"activations": ["HardSigmoid", "Softsign", "Relu"], "activation_alpha": [0.3], "activation_beta": [0.4]},
        ),
        (
            "GRU",
            {
                "activations": ["HardSigmoid", "ScaledTanh"],
                "activation_alpha": [0.3, 1.7],
                "activation_beta": [0.4, 0.6],
            },
        ),
        ("RNN", {"activations": ["Elu"], "activation_alpha": [0.5]}),
        ("RNN", {"activations": ["LeakyRelu"]}),
        ("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.2]}),
        ("RNN", {"activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.1]}),
        ("RNN", {"activations": ["Softplus"]}),
    ],
)
def test_attributes(op_type: str, attributes: dict[str, Any]) -> None:
    inputs = make_inputs(op_type, 1, left_out=("lengths", "c0", "p"))
    proto = make_model(op_type, inputs, outputs=outputs_of(op_type), hidden_size=HIDDEN, **attributes)
    check_model(proto, inputs)


@pytest.mark.parametrize("op_type", ["LSTM", "RNN"])
def test_batch_first_is_the_transposed_layout(op_type: str) -> None:
    # ONNX Runtime has no kernel for layout 1, so layout 0 is the reference
    inputs = make_inputs(op_type, 2)
    first = make_model(op_type, inputs, outputs=outputs_of(op_type), hidden_size=HIDDEN, direction="bidirectional")
    reference = load_onnx(first).reference
    assert reference is not None
    y, *states = reference([array for array in inputs.values() if array is not None])
    swapped = {
        name: np.ascontiguousarray(array.swapaxes(0, 1)) if array is not None and name in ("x", "h0", "c0") else array
        for name, array in inputs.items()
    }
    expected = [y.transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in states)]
    proto = make_model(
        op_type, swapped, outputs=outputs_of(op_type), hidden_size=HIDDEN, direction="bidirectional", layout=1
    )
    check_model(proto, swapped, expected=expected)


def test_only_the_last_state_is_asked_for() -> None:
    inputs = make_inputs("LSTM", 1, left_out=("b", "lengths", "h0", "c0", "p"))
    check_model(make_model("LSTM", inputs, outputs=["", "", "float32"], hidden_size=HIDDEN), inputs)


def test_steps_share_their_kernels() -> None:
    from tvm import relax

    def kernels(steps: int) -> int:
        inputs = make_inputs("LSTM", 1, left_out=("lengths", "p"))
        inputs["x"] = np.zeros((steps, BATCH, FEATURES), np.float32)
        model = load_onnx(make_model("LSTM", inputs, outputs=outputs_of("LSTM"), hidden_size=HIDDEN))
        return len(relax.transform.LegalizeOps()(model.module).get_global_vars())

    assert kernels(9) == kernels(5)


def test_too_many_steps_are_refused() -> None:
    inputs = make_inputs("RNN", 1, left_out=("lengths",))
    inputs["x"] = np.zeros((5000, BATCH, FEATURES), np.float32)
    with pytest.raises(UnsupportedModelError, match="at most 4096 steps can be unrolled, found 5000"):
        load_onnx(make_model("RNN", inputs, outputs=outputs_of("RNN"), hidden_size=HIDDEN))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"activations": ["Tanhh"]}, "an activation among .* was needed, found 'Tanhh'"),
        ({"direction": "sideways"}, "direction must be forward, reverse or bidirectional, found 'sideways'"),
        ({"hidden_size": 3}, "hidden_size must be the last dimension of R, 7, found 3"),
    ],
)
def test_bad_attributes(attributes: dict[str, Any], message: str) -> None:
    inputs = make_inputs("RNN", 1, left_out=("lengths",))
    with pytest.raises(InvalidModelError, match=message):
        load_onnx(make_model("RNN", inputs, outputs=outputs_of("RNN"), **attributes))
