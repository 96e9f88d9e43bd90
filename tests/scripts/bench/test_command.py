"""The command line, and the harness as a whole on a small network."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from scripts.bench.command import main
from scripts.bench.rivals import OURS, RIVALS
from scripts.bench.rivals.int8 import BASELINE
from scripts.bench.rounds import LARGEST_DIFFERENCE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "resnet1"], "error: no network is named 'resnet1'; choose from bert,"),
        (["--rivals", "mnn,tflite"], "error: no rival is named 'tflite'; choose from onnxruntime,"),
        (["--precision", "int8", "--rivals", "ncnn"], "error: ncnn is not compared in int8: its quantization tools"),
        (["--threads", "1,4096"], "error: 4096 threads need as many cores, found "),
    ],
)
def test_a_request_without_sense_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(message) and said.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--threads", "0"], ["--repeat", "x"], ["--thread", "1"], ["--precision", "int4"]]
)
def test_a_malformed_option_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: bench" in capsys.readouterr().err


@pytest.mark.slow
def test_a_small_network_through_every_runtime_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript", reason="exporting needs the extra `bench`")
    monkeypatch.setenv("EDGECOMPILE_CACHE", str(tmp_path / "cache"))
    figures = tmp_path / "bench.json"
    assert main(["--models", "bert_tiny", "--threads", "1", "--repeat", "1", "--json", str(figures)]) == 0
    document = json.loads(figures.read_text())
    assert document["peaks"]["1"]["gflops"] > 0.5
    (comparison,) = document["comparisons"]
    rows = {row["runtime"]: row for row in comparison["rows"]}
    assert list(rows) == list(RIVALS)
    for name, row in rows.items():
        if _is_installed(*RIVALS[name]):
            assert row["status"] == "timed", row["reason"]
            assert row["difference"] <= LARGEST_DIFFERENCE and 0 < row["min_ms"] <= row["median_ms"]
        else:
            assert row["status"] == "failed" and "is not installed" in row["reason"]
    assert comparison["ratio"] == rows[OURS]["median_ms"] / rows[comparison["best_rival"]]["median_ms"]


@pytest.mark.slow
def test_a_small_network_in_int8_through_every_runtime_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript", reason="exporting needs the extra `bench`")
    monkeypatch.setenv("EDGECOMPILE_CACHE", str(tmp_path / "cache"))
    figures = tmp_path / "bench.json"
    options = ["--precision", "int8", "--models", "digits_resnet", "--threads", "1", "--repeat", "1"]
    assert main([*options, "--json", str(figures)]) == 0
    (comparison,) = json.loads(figures.read_text())["comparisons"]
    rows = {row["runtime"]: row for row in comparison["rows"]}
    assert list(rows)[:2] == [OURS, BASELINE]
    for name, row in rows.items():
        if _is_installed(*RIVALS[name.split()[0]], *(["nncf"] if name.startswith("openvino") else [])):
            assert row["status"] == "timed", row["reason"]
            assert row["snr_db"] > (100 if name == BASELINE else 10)
        else:
            assert row["status"] == "failed" and "is not installed" in row["reason"]
    assert (
        rows[OURS]["model_bytes"] < 0.6 * rows[BASELINE]["model_bytes"]
    )  # of this small one the library is a large part
    assert comparison["ratio_to_float"] == rows[OURS]["median_ms"] / rows[BASELINE]["median_ms"]
    assert comparison["best_rival"] not in (OURS, BASELINE)
    assert "ncnn is left out: its quantization tools" in capsys.readouterr().out


def _is_installed(*distributions: str) -> bool:
    try:
        return all(importlib.metadata.version(distribution) for distribution in distributions)
    except importlib.metadata.PackageNotFoundError:
        return False
