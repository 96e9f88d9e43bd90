"""What is no model, or no target, is one line and status 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecompile.cli.program import run_program


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "garbage.onnx").write_text("garbage")
    (tmp_path / "empty.onnx").write_text("")
    (tmp_path / "garbage.pt2").write_text("garbage")
    (tmp_path / "weights.pt").write_text("")
    (tmp_path / "text.txt").write_text("")
    return tmp_path


@pytest.mark.parametrize("command", ["compile", "inspect"])
@pytest.mark.parametrize(
    "model",
    ["none.onnx", "garbage.onnx", "empty.onnx", "none.pt2", "garbage.pt2", "weights.pt", "text.txt", "zoo:nothing"],
)
def test_what_is_no_model_is_one_line(
    models: Path, command: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = model if model.startswith("zoo:") else str(models / model)
    options = ["-o", str(models / "out")] if command == "compile" else []
    assert run_program([command, named, *options]).status == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "bug" not in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not (models / "out").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("rpi44", "no target is named 'rpi44' (did you mean 'rpi4'?)"),
        ("", "no target is named ''"),
        ("rpi4,cores=2", "found 'cores=2'"),
        ("rpi4,num_cores=0", "num_cores must be a whole number above 0"),
    ],
)
def test_an_unknown_target_is_one_line(
    models: Path, target: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["-o", str(models / "out")]
    assert run_program(["compile", str(models / "garbage.onnx"), "--target", target, *out]).status == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1
