"""If, Loop and Scan: what is unrolled, what is selected, what is refused."""

from __future__ import annotations

import time

import numpy as np
import onnx
import pytest
from onnx import parser

from edgecompile.errors import UnsupportedModelError
from edgecompile.frontend.onnx import load_onnx
from tests.frontend.onnx.operators.one_node import check_model

HEADER = '<ir_version: 8, opset_import: ["" : 18]>\n'


def parse(text: str) -> onnx.ModelProto:
    return parser.parse_model(HEADER + text)


IF = """
g (bool c, float[3,5] x) => (float[3,5] y) {
  y = If (c) <
    then_branch = a () => (float[3,5] t) { t = Neg (x) },
    else_branch = b () => (float[3,5] e) { e = Exp (x) }
  >
}
"""


@pytest.mark.parametrize("condition", [True, False])
@pytest.mark.parametrize("freeze", [(), ("c",)])
def test_if_on_known_and_unknown_conditions(condition: bool, freeze: tuple[str, ...]) -> None:
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    model = check_model(parse(IF), {"c": np.array(condition), "x": x}, freeze=freeze)
    assert len(model.inputs) == 2 - len(freeze)


def test_if_with_other_shapes_needs_a_known_condition() -> None:
    text = """
    g (bool c, float[3,5] x) => (float[a,b] y) {
      y = If (c) <
        then_branch = a () => (float[a,b] t) { t = Neg (x) },
        else_branch = b () => (float[a,b] e) { e = Transpose (x) }
      >
    }
    """
    with pytest.raises(UnsupportedModelError, match=r"If \('y'\): .*float32\[3, 5\] and float32\[5, 3\]; freeze"):
        load_onnx(parse(text))
    x = np.ones((3, 5), np.float32)
    check_model(parse(text), {"c": np.array(False), "x": x}, freeze=("c",))


LOOP = """
g (int64 m, bool c, float[3] x) => (float[3] y, float[k,3] rows) {
  y, rows = Loop (m, c, x) <body = b (int64 i, bool ci, float[3] v) => (bool co, float[3] w, float[3] row) {
    co = Identity (ci)
    step = CastLike (i, v)
    w = Add (v, step)
    row = Mul (w, v)
  }>
}
"""


@pytest.mark.parametrize(("trips", "condition"), [(4, True), (1, True), (0, True), (3, False)])
def test_loop_with_known_trip_count(trips: int, condition: bool) -> None:
    inputs = {"m": np.array(trips), "c": np.array(condition), "x": np.array([1.0, -2.0, 0.5], np.float32)}
    check_model(parse(LOOP), inputs, freeze=("m", "c"))


def test_loop_that_a_known_condition_ends() -> None:
    text = """
    g (float[3] x) => (float[3] y)
    <int64 most = {9223372036854775807}, bool yes = {1}, int64 three = {3}> {
      y = Loop (most, yes, x) <body = b (int64 i, bool ci, float[3] v) => (bool co, float[3] w) {
        co = Less (i, three)
        w = Add (v, v)
      }>
    }
    """
    check_model(
        parse(text), {"x": np.array([1.0, -2.0, 0.5], np.float32)}, expected=[np.array([16, -32, 8], np.float32)]
    )


def test_loop_with_unknown_trip_count_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"Loop \('y'\): input 0 \('m'\) must be known at import"):
        load_onnx(parse(LOOP))


@pytest.mark.parametrize("trips", [10**6, 2**62])
def test_loop_with_huge_trip_count_is_refused_at_once(trips: int) -> None:
    start = time.monotonic()
    with pytest.raises(UnsupportedModelError, match=f"at most 4096 iterations .* found {trips} or more"):
        load_onnx(parse(LOOP), freeze={"m": np.array(trips), "c": np.array(True)})
    assert time.monotonic() - start < 5


def test_loop_on_a_computed_condition_is_refused() -> None:
    text = """
    g (float[1] x) => (float[1] y) <int64 most = {5}, bool yes = {1}, float[1] one = {1.0}> {
      y = Loop (most, yes, x) <body = b (int64 i, bool ci, float[1] v) => (bool co, float[1] w) {
        w = Add (v, v)
        less = Less (w, one)
        co = Squeeze (less)
      }>
    }
    """
    with pytest.raises(
        UnsupportedModelError, match="its condition after iteration 0 is computed from the model's inputs"
    ):
        load_onnx(parse(text))


def test_an_unknown_operator_in_a_body_is_named_once() -> None:
    text = LOOP.replace("w = Add (v, step)", "w = RandomUniformLike (v)")
    with pytest.raises(UnsupportedModelError, match=r"^1 of 1 nodes .* RandomUniformLike \('w'\)"):
        load_onnx(parse(text), freeze={"m": np.array(3), "c": np.array(True)})


def test_scan_with_axes_and_directions() -> None:
    text = """
    g (float[2] s, float[2,4] x, float[4,3] z) => (float[2] last, float[2,4] sums, float[4,3] same) {
      last, sums, same = Scan <num_scan_inputs = 2, scan_input_axes = [1, 0], scan_input_directions = [1, 0],
          scan_output_axes = [1, 0], scan_output_directions = [0, 1],
          body = b (float[2] si, float[2] xi, float[3] zi) => (float[2] so, float[2] row, float[3] out) {
        so = Add (si, xi)
        row = Identity (so)
        out = Neg (zi)
      }> (s, x, z)
    }
    """
    rng = np.random.default_rng(0)
    shapes = {"s": (2,), "x": (2, 4), "z": (4, 3)}
    check_model(parse(text), {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()})


def test_nested_subgraphs_see_outer_values() -> None:
    text = """
    g (float[2] x, float[3] rows) => (float[2] y) <int64 two = {2}, bool yes = {1}> {
      y = Loop (two, yes, x) <body = b (int64 i, bool ci, float[2] v) => (bool co, float[2] w) {
        co = Identity (ci)
        w = Scan <num_scan_inputs = 1, body = s (float[2] a, float r) => (float[2] t) {
          u = Mul (a, r)
          t = Add (u, x)
        }> (v, rows)
      }>
    }
    """
    check_model(parse(text), {"x": np.array([1, 2], np.float32), "rows": np.array([0.5, -1, 2], np.float32)})
