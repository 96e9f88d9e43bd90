"""`edgecompile inspect --groups`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgecompile as ec
from edgecompile.cli.program import run_program


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """y = conv(softmax of channels(conv(conv(x))) + 1)."""
    generator = np.random.default_rng(0)
    shapes = {"w1": (6, 3, 3, 3), "w2": (4, 6, 1, 1), "w3": (5, 4, 1, 1), "s": (6, 1, 1)}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["one"], name="one"),
        helper.make_node("Mul", ["one", "s"], ["scaled"], name="scaled"),
        helper.make_node("Conv", ["scaled", "w2"], ["two"], name="two"),
        helper.make_node("Softmax", ["two"], ["shares"], name="shares", axis=1),
        helper.make_node("Conv", ["shares", "w3"], ["y"], name="three"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5, 6, 6])],
        [
            numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)
            for name, shape in shapes.items()
        ],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> str:
    outcome = run_program([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert outcome.status == status, captured.err
    return captured.err if status else captured.out


def test_as_json(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, "inspect", model, "--groups", "--json"))
    assert document["name"] == "net"
    [group] = document["groups"]
    assert group["channels"] == 6
    assert group["together_because"] == []
    assert [(m["operator"], m["operand"], m["axis"], m["side"]) for m in group["members"]] == [
        ("nn.conv2d", "weight", 0, "output"),
        ("multiply", "scale", 0, "each"),
        ("nn.conv2d", "weight", 1, "input"),
    ]
    assert [(fixed["channels"], fixed["side"]) for fixed in document["fixed"]] == [(4, "output"), (5, "output")]
    assert "softmax" in document["fixed"][0]["reason"]
    assert "is an output of the model" in document["fixed"][1]["reason"]


def test_as_tables(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "inspect", model, "--groups")
    for part in ("channels that can go", "weight 0 (outputs)", "weight 1 (inputs)", "channels that stay", "runs along"):
        assert part in text


def test_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--groups is for models" in run(capsys, "inspect", tmp_path, "--groups", status=2)


def test_in_python(model: Path) -> None:
    groups = ec.groups(ec.load(model))
    [group] = groups
    assert groups[group.name] is group
    assert "6 channels" in str(groups)
