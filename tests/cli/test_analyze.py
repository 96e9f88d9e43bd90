"""`edgecompile analyze`, and the report of `compress`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecompile.cli.program import run_program


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """scores = relu(x * W) * V, and data beside it."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((16, 24)), "v": rng.standard_normal((24, 4))}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["product"], name="first"),
            helper.make_node("Relu", ["product"], ["hidden"], name="act"),
            helper.make_node("MatMul", ["hidden", "v"], ["sums"], name="second"),
            helper.make_node("Tanh", ["sums"], ["scores"], name="bend"),
        ],
        "scores",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [8, 16])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [8, 4])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    path = tmp_path / "scores.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    (tmp_path / "data").mkdir()
    for index in range(3):
        np.save(tmp_path / "data" / f"{index}.npy", rng.standard_normal((8, 16)).astype(np.float32))
    (tmp_path / "metric_of_scores.py").write_text(
        "import numpy as np\n"
        "def mean(predict):\n"
        "    return -float(np.abs(predict([np.ones((8, 16), 'f4')])[0]).mean())\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    outcome = run_program([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert outcome.status == 0, captured.err
    return captured.out


def test_analysis(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--calib", "data", "--eval", "metric_of_scores:mean", "-o", "s.json")
    text = run(capsys, "analyze", model, *options)
    document = json.loads(run(capsys, "analyze", model, *options, "--json"))
    assert document == json.loads(Path("s.json").read_text())
    assert len(document["layers"]) == 2
    for name, effect in document["layers"].items():
        assert name in text
        assert 20 < effect["snr_db"] < 60
    assert "all of them" in text
    assert "metric_of_scores.mean uncompressed: -" in text


def test_pruning(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    recipe = ("-r", "prune,macs=0.5", "--levels", "0.5,0.25", "-o", "s.json")
    options = (*recipe, "--calib", "data", "--eval", "metric_of_scores:mean")
    text = run(capsys, "analyze", model, *options, "--time", "--plot", "plots/s.png")
    assert "time on host" in text
    document = json.loads(run(capsys, "analyze", model, *options, "--json"))
    assert document == json.loads(Path("s.json").read_text()) | {"layers": document["layers"]}
    [levels] = document["layers"].values()
    assert list(levels) == ["0.25", "0.5"]
    assert levels["0.25"]["snr_db"] > levels["0.5"]["snr_db"] > 0
    assert all(0 < effect["time"] < 10 for effect in levels.values())
    assert Path("plots/s.png").read_bytes().startswith(b"\x89PNG")


def test_a_report(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    run(capsys, "compress", model, "-r", "int8", "--calib", "data", "--report", "why", "-o", "a.ec")
    names = {str(path.relative_to("why")) for path in Path("why").rglob("*") if path.is_file()}
    assert {"results.json", "results.md", "trade_off.png", "layers.png", "sensitivity.json"} <= names
    results = json.loads(Path("why/results.json").read_text())
    assert [variant["name"] for variant in results["variants"]][:2] == ["float", "int8"]
    assert results["metric"] == ""
    histograms = [json.loads(path.read_text()) for path in Path("why/histograms").glob("*.json")]
    assert {entry["tensor"] for entry in histograms} >= {"x"}
    assert {sum(entry["counts"]) for entry in histograms} == {3 * 8 * 16, 3 * 8 * 24}
    assert len([name for name in names if name.endswith(".png")]) == 2 + len(histograms)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--calib", "data", "--table", "t.json"), "error: --table takes the place of --calib"),
        ((), "error: an analysis needs data or an eval to see errors by, found neither"),
        (("-r", "int8+fp16", "--calib", "data"), "error: an analysis needs a recipe of one step, found 2"),
        (("-r", "int9", "--calib", "data"), "error: the recipe 'int9'"),
        (("--calib", "data", "-o", "metric_of_scores.py"), "error: metric_of_scores.py is there and is no file of"),
        (("--calib", "data", "--time"), "error: quantization has no levels and times of layers to analyze"),
        (("--calib", "data", "--plot", "s.png"), "error: --plot is for pruning"),
        (("--calib", "data", "-r", "prune,ratio=0.5", "--levels", "half"), "error: --levels needs numbers with commas"),
        (("--calib", "data", "-r", "prune,ratio=0.5", "--levels", "1"), "error: ratios to analyze must be above 0 and"),
        (
            ("--table", "t.json", "--eval", "metric_of_scores:mean", "-r", "prune,ratio=0.5"),
            "error: pruning has no use",
        ),
        (("--calib", "data", "-r", "lowrank,params=0.5", "--levels", "0.01"), "error: no layer has ranks that leave"),
        (("--calib", "data", "-r", "depth,blocks=1"), "error: no analysis of the step 'depth' is known"),
        (("--calib", "data", "--eval", "x"), "error: --eval needs MODULE:FUNCTION, found 'x'"),
    ],
)
def test_wrong_usage(options: tuple[str, ...], line: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["analyze", str(model), *options]).status == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(line)
    assert printed.err.count("\n") == 1
