"""What is done to an exported network, and how it is kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from scripts.bench import case as cases
from scripts.bench.case import Case


def _model(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    floats = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "zero")]
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    return helper.make_model(helper.make_graph(list(nodes), "g", floats, [answer]))


def test_the_guard_behind_a_softmax_is_dropped() -> None:
    model = _model(
        helper.make_node("Softmax", ["x"], ["s"]),
        helper.make_node("IsNaN", ["s"], ["n"]),
        helper.make_node("Where", ["n", "zero", "s"], ["w"]),
        helper.make_node("Relu", ["w"], ["y"]),
    )
    cases._drop_nan_guards(model)
    assert [(node.op_type, list(node.input)) for node in model.graph.node] == [("Softmax", ["x"]), ("Relu", ["s"])]
    onnx.checker.check_model(model)


def test_a_choice_of_another_tensor_stays() -> None:
    nodes = [
        helper.make_node("IsNaN", ["x"], ["n"]),
        helper.make_node("Where", ["n", "x", "zero"], ["y"]),
    ]
    model = _model(*nodes)
    cases._drop_nan_guards(model)
    assert list(model.graph.node) == nodes


def test_a_conversion_is_kept_and_a_failed_one_leaves_nothing(case: Case) -> None:
    calls: list[Path] = []

    def convert(place: Path) -> None:
        calls.append(place)
        (place / "model").write_text("converted")

    def fail(place: Path) -> None:
        (place / "model").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        case.converted("onnx", fail)
    before = {path.name for path in case.folder.iterdir()}
    first, second = case.converted("onnx", convert), case.converted("onnx", convert)
    assert first == second and len(calls) == 1
    assert (first / "model").read_text() == "converted"
    third = case.converted("onnx", convert, "int8")
    assert third != first and len(calls) == 2
    made = {path.name for path in case.folder.iterdir()} - before
    assert made == {f"onnx-{onnx.__version__}", f"onnx-{onnx.__version__}-int8"}


def test_a_network_of_token_numbers_is_one_for_text(case: Case) -> None:
    tokens = np.zeros((1, 4), np.int64)
    assert not case.is_text
    assert dataclasses.replace(case, inputs={"tokens": tokens, "mask": tokens}).is_text
    assert not dataclasses.replace(case, inputs={"tokens": tokens, **case.inputs}).is_text
