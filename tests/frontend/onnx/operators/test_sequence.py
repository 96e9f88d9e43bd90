"""Sequences and optional values of known structure leave no trace in the program."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import parser

from edgecompile.errors import InvalidModelError
from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.operators.one_node import check_model

X = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)


def parse(body: str, output: str = "float[a,b] y") -> onnx.ModelProto:
    header = '<ir_version: 8, opset_import: ["" : 18]>\n'
    return parser.parse_model(
        f"{header} g (float[5,6] x) => ({output}) "
        "<int64 one = {1}, int64 minus_two = {-2}, int64[3] sizes = {1, 3, 1}, int64 four = {4}> {" + body + "}"
    )


@pytest.mark.parametrize(
    "body",
    [
        "s = SplitToSequence <axis = 0> (x, sizes) y = SequenceAt (s, one)",
        "s = SplitToSequence <axis = 1> (x, four) y = SequenceAt (s, one)",
        "s = SplitToSequence <axis = 1, keepdims = 0> (x) y = ConcatFromSequence <axis = 1, new_axis = 1> (s)",
        "n = Neg (x) e = Exp (x) s = SequenceConstruct (x, n, e) t = SequenceErase (s, minus_two)"
        " y = ConcatFromSequence <axis = -1> (t)",
        "n = Neg (x) s0 = SequenceEmpty () s1 = SequenceInsert (s0, x) s2 = SequenceInsert (s1, n, minus_two_ok)"
        " y = ConcatFromSequence <axis = 0> (s2)".replace("minus_two_ok", "zero"),
        "s = SplitToSequence <axis = 0> (x, sizes) t = SequenceMap <body = b (float[c,d] i) => (float[c,d] o)"
        " { o = Abs (i) }> (s) y = ConcatFromSequence <axis = 0> (t)",
        "o = Optional (x) h = OptionalHasElement (o) y = If (h) <then_branch = t () => (float[a,b] v)"
        " { v = OptionalGetElement (o) }, else_branch = e () => (float[a,b] w) { w = Neg (x) }>",
    ],
)
def test_sequences_against_onnx(body: str) -> None:
    model = parse(body.replace("zero", "zero_"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0), "zero_"))
    check_model(model, {"x": X})


def test_the_length_is_a_constant() -> None:
    body = "s = SplitToSequence <axis = 0> (x, sizes) y = SequenceLength (s)"
    model = check_model(parse(body, "int64 y"), {"x": X}, expected=[np.array(3)])
    assert len(model.inputs) == 1


def test_a_position_outside_is_refused() -> None:
    body = "s = SequenceConstruct (x) y = SequenceAt (s, four)"
    with pytest.raises(InvalidModelError, match="a position from -1 to 0 was needed, found 4"):
        load_onnx(parse(body))


def test_sizes_that_do_not_fit_are_refused() -> None:
    body = "s = SplitToSequence <axis = 1> (x, sizes) y = SequenceAt (s, one)"
    with pytest.raises(InvalidModelError, match=r"sizes that sum to 6 were needed, found \[1, 3, 1\]"):
        load_onnx(parse(body))
