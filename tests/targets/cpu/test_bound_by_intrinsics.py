"""Selections that bound a value: found in every order of their comparison, and right for every value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import tvm
from tvm import ir, tirx

import edgecompile as ec
from targets.cpu.bound_by_intrinsics import bound_by_intrinsics

FIVE, SIX, X = tirx.const(5.0, "float32"), tirx.const(6.0, "float32"), tirx.Var("x", ir.PrimType("float32"))


def rewritten(value: tvm.ir.Expr) -> str:
    return str(bound_by_intrinsics(tirx.Evaluate(value)))


@pytest.mark.parametrize(
    ("condition", "name"), [(X < SIX, "maximum"), (SIX > X, "maximum"), (X > SIX, "minimum"), (SIX < X, "minimum")]
)
def test_a_bound_becomes_one_call(condition: tvm.ir.Expr, name: str) -> None:
    text = rewritten(tirx.Select(condition, SIX, X))
    assert "Select" not in text and "call_llvm_pure_intrin" in text
    expected = tirx.call_llvm_pure_intrin("float32", f"llvm.{name}", X, SIX)
    tvm.ir.assert_structural_equal(bound_by_intrinsics(tirx.Evaluate(tirx.Select(condition, SIX, X))).value, expected)


@pytest.mark.parametrize(
    "select",
    [
        tirx.Select(X < SIX, X, SIX),  # a minimum that would lose NaN
        tirx.Select(X <= SIX, SIX, X),
        tirx.Select(X < SIX, FIVE, X),
        tirx.Select(X < FIVE, SIX, X),
        tirx.Select(X + X < SIX, SIX, X),
    ],
    ids=str,
)
def test_other_selections_stay(select: tirx.Select) -> None:
    statement = tirx.Evaluate(select)
    tvm.ir.assert_structural_equal(bound_by_intrinsics(statement), statement)


@pytest.mark.board
def test_on_a_board(tmp_path: Path) -> None:
    """NaN and infinities too; the values are no whole number of vectors."""
    module = torch.nn.Sequential(torch.nn.Hardtanh(-1.5, 2.0), torch.nn.ReLU())
    x = torch.linspace(-3, 3, 23)
    x[:4] = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0])
    ec.compile(ec.load(module, example_inputs=torch.zeros(23)), target="rpi5", out=tmp_path / "net")
    (got,) = ec.open(tmp_path / "net", emulate=True).run(x.numpy())
    np.testing.assert_array_equal(got, module(x).numpy())
