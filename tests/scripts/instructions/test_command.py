"""The command line, and the whole on a small network."""

from __future__ import annotations

import json

import pytest

from scripts.instructions.command import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "resnet1"], "error: no network is named 'resnet1'; choose from bert,"),
        (["--target", "rpi6"], "error: no target is named 'rpi6'"),
        (
            ["--target", "android-arm64"],
            "error: instructions are counted for cortex-a72, cortex-a76 and cores with i8mm",
        ),
    ],
)
def test_a_request_without_sense_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(message) and said.count("\n") == 1


def test_a_malformed_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--inferences", "0"])
    assert "usage: instructions" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.board
def test_a_small_network(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript", reason="exporting needs the extra `bench`")
    assert main(["--models", "digits_resnet", "--kernels", "--json"]) == 0
    (comparison,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert 0.1 < comparison["ratio"] < 1
    for runtime in comparison["runtimes"]:
        # A vector holds four floats: fewer instructions than a quarter of all products only Winograd's layers need.
        assert comparison["macs"] / 4 / 4 < runtime["instructions"] < comparison["macs"]
        assert runtime["difference"] < 1e-4
    if not comparison["kernels_reason"]:
        assert sum(kernel["share"] for kernel in comparison["kernels"]) > 0.9
        assert max(kernel["products"] for kernel in comparison["kernels"]) > 32


@pytest.mark.slow
@pytest.mark.board
def test_int8_beside_float(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript", reason="exporting needs the extra `bench`")
    assert main(["--models", "digits_resnet", "--target", "armv9", "--precision", "int8", "--json"]) == 0
    (comparison,) = json.loads(capsys.readouterr().out)["comparisons"]
    int8, float32 = comparison["runtimes"]
    assert (int8["runtime"], float32["runtime"]) == ("edgecompile int8", "edgecompile float32")
    assert comparison["ratio"] == int8["instructions"] / float32["instructions"] < 0.8
    assert float32["difference"] < 1e-4 < int8["difference"]
