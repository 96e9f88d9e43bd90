"""Functions that exist for scalars only, behind a reduction whose epilogue is made of vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tvm import ir, relax, tirx
from tvm_ffi.structural import structural_equal

import edgecompile as ec
from edgecompile.frontend.model import TensorSpec
from targets.cpu.unroll_scalar_functions import unroll_scalar_functions
from tests.relax_models import constant, make_model


@pytest.mark.parametrize("name", ["sinh", "cosh"])
def test_behind_a_convolution(name: str, tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((16, 4, 3, 3)).astype(np.float32) / 6
    x = np.random.default_rng(1).standard_normal((2, 4, 9, 8)).astype(np.float32)
    function = getattr(relax.op, name)

    def body(builder: relax.BlockBuilder, data: relax.Var) -> list[relax.Expr]:
        grouped = builder.emit(relax.op.nn.conv2d(data, constant(weight[:, :2]), groups=2))
        return [function(builder.emit(relax.op.nn.conv2d(data, constant(weight)))), function(grouped)]

    outputs = [TensorSpec(key, (2, 16, 7, 6), "float32") for key in ("direct", "grouped")]
    model = make_model([TensorSpec("x", x.shape, "float32")], body, outputs)
    import torch

    sums = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(weight))
    grouped = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(weight[:, :2]), groups=2)
    for got, want in zip(ec.compile(model, out=tmp_path / "net").run(x), (sums, grouped), strict=True):
        np.testing.assert_allclose(got, getattr(np, name)(want.numpy()), rtol=1e-4, atol=1e-5)


def test_other_vectors_stay() -> None:
    buffer = tirx.decl_buffer((8,), "float32", "y")
    lane = tirx.Var("lane", ir.PrimType("int32"))
    value = tirx.exp(tirx.BufferLoad(buffer, [lane]))
    loop = tirx.For(lane, 0, 8, tirx.ForKind.VECTORIZED, tirx.BufferStore(buffer, value, [lane]))
    assert structural_equal(unroll_scalar_functions(loop), loop)
