"""Options of the form NAME=VALUE, and what they are turned into."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgecompile.cli.arguments import load_model, pairs
from edgecompile.errors import InvalidInputError


def test_pairs_are_split_at_the_first_sign() -> None:
    assert pairs("--input", ["a=b", "c=d=e"]) == {"a": "b", "c": "d=e"}


@pytest.mark.parametrize("text", ["", "a", "=b", "a="])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="--input needs NAME=VALUE"):
        pairs("--input", [text])


def test_shapes_and_constants_reach_the_frontend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", np.int64(3))
    seen: list[tuple[object, ...]] = []

    def load(model: str, **options: object) -> SimpleNamespace:
        seen.append((model, options["shapes"], options["freeze"]))
        return SimpleNamespace()

    monkeypatch.setattr("edgecompile.frontend.load.load", load)
    load_model("m.onnx", ["x=1,3,224,224", "y=scalar", "z=5"], [f"k={tmp_path / 'k.npy'}"])
    load_model("m.onnx", [], [])
    assert seen == [("m.onnx", {"x": (1, 3, 224, 224), "y": (), "z": (5,)}, {"k": np.int64(3)}), ("m.onnx", None, None)]


@pytest.mark.parametrize("text", ["x=1,b", "x=1,,2", "x=1.5", "x=-1", "x=1, -2"])
def test_odd_shapes_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="--shape x needs"):
        load_model("m.onnx", [text], [])
