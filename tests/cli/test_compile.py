"""From a model file to an artifact and back, by the command line alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecompile.artifact.open import read_manifest
from edgecompile.cli.program import run_program

WEIGHT = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """scores = relu(x * W), with one dimension that is not known."""
    return save(tmp_path / "scores.onnx", WEIGHT)


def save(path: Path, weight: np.ndarray) -> Path:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["product"]), helper.make_node("Relu", ["product"], ["scores"])],
        "scores",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", weight.shape[0]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", weight.shape[1]])],
        [numpy_helper.from_array(weight, "weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    outcome = run_program([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert outcome.status == 0, captured.err
    return captured.out


def test_the_main_job(model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "net"
    facts = json.loads(run(capsys, "compile", model, "--shape", "x=2,4", "-o", out, "--json"))
    assert (facts["name"], facts["executor"], facts["target"], facts["weights_embedded"]) == (
        "scores",
        "plan",
        "host",
        False,
    )
    assert json.loads(run(capsys, "verify", out, "--json"))["ok"]
    x = np.arange(-4, 4, dtype=np.float32).reshape(2, 4)
    np.save(tmp_path / "x.npy", x)
    run(capsys, "run", out, "--input", f"x={tmp_path / 'x.npy'}", "-o", tmp_path / "out.npz")
    # Four products of numbers below 8 in float32: the last bits depend on the order of the sum.
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["scores"], np.maximum(x @ WEIGHT, 0), atol=1e-5)
    assert json.loads(run(capsys, "bench", out, "--repeat", 3, "--json"))["median_ms"] > 0
    steps = json.loads(run(capsys, "explain", out, "--profile", "--json"))["steps"]
    assert sum(step["macs"] for step in steps) == 2 * 4 * 3
    assert "scores" in run(capsys, "inspect", out)


def test_options_reach_the_compiler(model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "net"
    run(capsys, "compile", model, "--shape", "x=1,4", "--threads", 2, "--embed-weights", "--prefer", "size", "-o", out)
    manifest = read_manifest(out)
    assert (manifest.threads, manifest.weights_embedded, manifest.weights) == (2, True, None)
    assert manifest.prefer == "size"
    assert manifest.inputs[0].shape == (1, 4)
    assert json.loads(run(capsys, "verify", out, "--json"))["ok"]


def test_kernels_are_chosen_by_records(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    weight = np.random.default_rng(1).standard_normal((64, 128)).astype(np.float32)
    model = save(tmp_path / "large.onnx", weight)
    records, out = tmp_path / "host.jsonl", tmp_path / "net"
    options = ("compile", model, "--shape", "x=9,64", "--records", records, "-o", out, "--json")
    assert json.loads(run(capsys, *options, "--tune", "quick"))["records_used"] == 1
    measured = records.read_bytes()
    manifest = (out / "manifest.json").read_bytes()
    assert "cycles measured" in run(capsys, "explain", out)
    assert json.loads(run(capsys, *options))["records_used"] == 1
    assert (out / "manifest.json").read_bytes() == manifest
    assert records.read_bytes() == measured


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--records", "none.jsonl"), "error: none.jsonl cannot be read: No such file or directory; give the file"),
        (
            ("--tune", "quick", "--target", "rpi4"),
            "error: tuning needs a machine that runs the target's code: built for",
        ),
        (("--tune", "slow"), "error: Invalid value for '--tune': 'slow' is not 'quick'"),
    ],
)
def test_tuning_that_cannot_be(
    options: tuple[str, ...], line: str, model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["compile", str(model), "--shape", "x=2,4", "-o", str(tmp_path / "net"), *options]
    assert run_program(arguments).status == 2
    printed = capsys.readouterr().err
    assert printed.startswith(line)
    assert printed.count("\n") == 1


def test_a_model_is_inspected(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, "inspect", model, "--shape", "x=2,4", "--json"))
    assert document["params"] == WEIGHT.size
    assert document["weight_bytes"] == WEIGHT.nbytes
    assert document["macs"] == 2 * 4 * 3
    assert document["inputs"] == [{"name": "x", "shape": [2, 4], "dtype": "float32"}]
    text = run(capsys, "inspect", model)
    assert "matmul" in text
    assert "input x: float32[n, 4]" in text


def test_what_is_in_the_way_stays(model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.txt").write_text("x")
    outcome = run_program(["compile", str(model), "--shape", "x=1,4", "-o", str(tmp_path / "home")])
    assert outcome.status == 2
    assert "exists and is not an artifact" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["thesis.txt"]
