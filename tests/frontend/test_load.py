"""`load` finds the right frontend, or says what a model is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from edgecompile.errors import InvalidModelError
from edgecompile.frontend.load import load


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".ckpt", ".bin"])
def test_pickles_are_refused_unread(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"not even a pickle")
    with pytest.raises(InvalidModelError, match=r"is a pickle, .*torch\.export\.save"):
        load(path)


def test_paths_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match="no model at"):
        load(tmp_path / "missing.onnx")
    with pytest.raises(InvalidModelError, match="is a folder"):
        load(tmp_path)
    (tmp_path / "model.tflite").write_bytes(b"")
    with pytest.raises(InvalidModelError, match=r"suffix \.tflite"):
        load(tmp_path / "model.tflite")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(InvalidModelError, match="weights without a graph"):
        load(tmp_path / "model.safetensors")


def test_objects_that_are_no_models() -> None:
    with pytest.raises(InvalidModelError, match="not a int"):
        load(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidModelError, match="go with PyTorch models"):
        load(b"onnx", example_inputs=torch.ones(1))


def test_zoo_names() -> None:
    model = load("zoo:keyword_spotting")
    assert (model.name, str(model.inputs[0])) == ("keyword_spotting", "x: float32[1, 1, 49, 10]")
    with pytest.raises(InvalidModelError, match="the zoo has no network 'resnet99'"):
        load("zoo:resnet99")


def test_a_module_is_recognised() -> None:
    assert load(nn.Linear(2, 2).eval(), example_inputs=torch.ones(1, 2)).source == "torch"


def test_the_dispatcher_imports_no_framework() -> None:
    code = (
        "import sys, edgecompile.frontend.load, edgecompile.zoo; "
        "print({'torch', 'tvm', 'onnx', 'numpy'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
