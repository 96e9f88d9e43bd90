"""What takes a model says so to whoever gives it something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import edgecompile as ec
from edgecompile.errors import InvalidInputError


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("compile", lambda path: ec.compile(path, out="out")),
        ("compress", lambda path: ec.compress(path, "int8")),
        ("analyze", lambda path: ec.analyze(path, "int8", [])),
        ("groups", ec.groups),
    ],
)
def test_a_path_is_no_model(name: str, call: Callable[[Any], object]) -> None:
    with pytest.raises(InvalidInputError, match=rf"^{name} needs a model, found str: give it edgecompile.load\(...\)$"):
        call("model.onnx")
