"""`edgecompile compress`, and what the other commands do with what it writes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecompile.artifact.open import read_manifest
from edgecompile.cli.program import run_program
from edgecompile.compress.kinds import KINDS
from tests.compress import doubles


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """scores = relu(x * W)."""
    weight = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weight"], ["product"], name="fc"),
            helper.make_node("Relu", ["product"], ["scores"], name="act"),
        ],
        "scores",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [2, 3])],
        [numpy_helper.from_array(weight, "weight")],
    )
    path = tmp_path / "scores.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.fixture
def rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quantize step rounds the weights."""
    double = dataclasses.replace(KINDS["quantize"], function="tests.compress.doubles:round_weights")
    monkeypatch.setitem(KINDS, "quantize", double)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    outcome = run_program([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert outcome.status == 0, captured.err
    return captured.out


def test_a_dry_run_needs_no_data(model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    document = json.loads(
        run(capsys, "compress", model, "-r", "int8,calibration=kl+w4,group_size=2", "--dry-run", "--json")
    )
    assert document["recipe"]["steps"][0]["default"] == {"calibration": {"method": "kl"}}
    first, second = (step["layers"] for step in document["steps"])
    assert [row["operator"] for row in first] == ["matmul", "nn.relu"]
    assert (first[0]["weights"], first[0]["granularity"], first[0]["calibration"]) == ("int8", "per_channel [3]", "kl")
    assert first[0]["why"] == "default"
    assert second[0]["weights"] == "int4"
    text = run(capsys, "compress", model, "-r", f"int8,skip={first[1]['layer']}", "--dry-run")
    assert f"default < layers.{first[1]['layer']}" in text
    assert [path.name for path in tmp_path.iterdir()] == ["scores.onnx"]


@pytest.mark.usefixtures("rounding")
def test_what_is_written_is_a_model(model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    small, net = tmp_path / "small.ec", tmp_path / "net"
    options = ("-r", "int8", "--calib", "images", "--samples", 7, "-o", small)
    facts = json.loads(run(capsys, "compress", model, *options, "--json"))
    assert (doubles.calls[-1]["data"], doubles.calls[-1]["samples"]) == ("images", 7)
    assert facts["file_bytes"] == small.stat().st_size
    assert facts["steps"][0]["decisions"][0]["reason"] == "half of the bits"
    assert "half of the bits" in run(capsys, "compress", model, *options)
    inspected = json.loads(run(capsys, "inspect", small, "--json"))
    assert inspected["history"][0]["kind"] == "quantize"
    assert "compressed by quantize: 1 of 2" in run(capsys, "inspect", small)
    run(capsys, "compile", small, "-o", net)
    recipe = read_manifest(net).recipe
    assert recipe is not None
    assert json.loads(run(capsys, "verify", net, "--json"))["ok"]
    # Compressing on the way makes the same library.
    run(capsys, "compile", model, "--recipe", "int8", "--calib", "images", "-o", tmp_path / "direct")
    assert read_manifest(tmp_path / "direct").recipe == recipe
    assert (tmp_path / "direct/weights.bin").read_bytes() == (net / "weights.bin").read_bytes()


@pytest.mark.usefixtures("rounding")
def test_a_metric(
    model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "metric_of_mine.py").write_text("def accuracy(predict):\n    return 0.5\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    options = ("--eval", "metric_of_mine:accuracy", "--max-drop", "0.01", "-o", tmp_path / "a.ec")
    run(capsys, "compress", model, "-r", "int8", *options)
    passed = doubles.calls[-1]
    assert passed["max_drop"] == 0.01
    assert passed["evaluate"](None) == 0.5


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("-r", "int8"), "error: compress needs the file to write: give -o model.ec, or --dry-run"),
        (("-r", "int8", "-o", "a.onnx"), "error: a compressed model is an .ec file"),
        (
            ("-r", "int9", "--dry-run"),
            "error: the recipe 'int9', at steps[0]: unknown name 'int9', did you mean 'int8'",
        ),
        (("-r", "none.yaml", "--dry-run"), "error: the recipe none.yaml cannot be read"),
        (("-r", "int8,skip=nothing_*", "--dry-run"), "error: the pattern 'nothing_*' matches no layer"),
        (("-r", "w4,group_size=3", "--dry-run"), "error: layer"),
        (("-r", "int8", "--calib", "a", "--table", "b", "-o", "a.ec"), "error: --table takes the place of --calib"),
        (("-r", "int8", "--max-drop", "1", "-o", "a.ec"), "error: --max-drop needs a metric"),
        (("-r", "int8", "--max-drop", "-1", "-o", "a.ec"), "error: Invalid value for '--max-drop'"),
        (("-r", "int8", "--eval", "x", "-o", "a.ec"), "error: --eval needs MODULE:FUNCTION, found 'x'"),
        (
            ("-r", "int8", "--eval", "no_such_module:f", "-o", "a.ec"),
            "error: --eval no_such_module:f: no_such_module can",
        ),
        (("-r", "int8", "--eval", "json:f", "-o", "a.ec"), "error: --eval json:f: json has no function 'f'"),
        (("-r", "int8", "--samples", "0", "-o", "a.ec"), "error: Invalid value for '--samples'"),
        ((), "error: Missing option '-r' / '--recipe'"),
    ],
)
def test_wrong_usage(options: tuple[str, ...], line: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["compress", str(model), *options]).status == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(line)
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_a_damaged_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "a.ec"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    for command in (("inspect", path), ("compile", path, "-o", tmp_path / "net")):
        assert run_program(list(map(str, command))).status == 2
        printed = capsys.readouterr().err
        assert "a.ec" in printed
        assert printed.count("\n") == 1


def test_data_without_a_recipe(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["compile", str(model), "--calib", "images", "-o", "net"]).status == 2
    assert capsys.readouterr().err.startswith("error: --calib is for a recipe: give --recipe int8")


def test_low_rank(model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    document = json.loads(run(capsys, "compress", model, "-r", "lowrank,rank=1", "--dry-run", "--json"))
    (row,) = document["steps"][0]["layers"]
    assert (row["becomes"], row["params"]) == ("svd 1", "12 to 7")
    out = tmp_path / "small.ec"
    printed = run(capsys, "compress", model, "-r", "lowrank,rank=1", "-o", out)
    assert "1 layer factorised: 0.583 of the parameters" in printed
    assert "lowrank: 1 layer factorised" in run(capsys, "inspect", out)
    wrong = run_program(["compress", str(model), "-r", "lowrank,rank=9", "-o", str(out)])
    assert wrong.status == 2
    assert "rank 9 is above the highest of svd, 3" in capsys.readouterr().err
