"""`FuseDequantizedRows`: fewer kernels with the same bits, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import relax

import edgecompile as ec
from edgecompile.frontend.onnx import load_onnx
from edgecompile.passes.fuse_dequantized_rows import FuseDequantizedRows
from tests.frontend.onnx.quantized_networks import GraphWriter

RNG = np.random.default_rng(3)
ROWS, COLUMNS = 5, 37


def layer_norm(x: relax.Expr) -> relax.Expr:
    gamma, beta = (relax.const(RNG.standard_normal(COLUMNS).astype(np.float32)) for _ in range(2))
    return relax.op.nn.layer_norm(x, gamma, beta, axes=[-1], epsilon=1e-5)


def softmax(x: relax.Expr) -> relax.Expr:
    return relax.op.nn.softmax(x, -1)


def module_of(operator: Callable[[relax.Expr], relax.Expr], scales: np.ndarray, dtype: str = "int8") -> tvm.IRModule:
    """`operator(dequantize(q))` of q `[5, 37]`."""
    q = relax.Var("q", relax.TensorType((ROWS, COLUMNS), dtype))
    builder = relax.BlockBuilder()
    with builder.function("main", [q]):
        with builder.dataflow():
            zero = relax.const(np.full(scales.shape, 3), dtype)
            x = builder.emit(relax.op.dequantize(q, relax.const(scales, "float32"), zero, axis=1, out_dtype="float32"))
            output = builder.emit_output(operator(x))
        builder.emit_func_output(output)
    return builder.get()


def fused(module: tvm.IRModule) -> tvm.IRModule:
    result = FuseDequantizedRows()(module, [])
    relax.analysis.well_formed(result)
    return relax.transform.DeadCodeElimination(["main"])(result)


def run(module: tvm.IRModule, q: np.ndarray) -> np.ndarray:
    machine = relax.VirtualMachine(relax.build(relax.transform.LegalizeOps()(module), "llvm"), tvm.cpu())
    return np.asarray(machine["main"](tvm.runtime.tensor(q)).numpy())


@pytest.mark.parametrize("operator", [softmax, layer_norm])
def test_one_kernel_with_the_bits_of_two(operator: Callable[[relax.Expr], relax.Expr]) -> None:
    module = module_of(operator, np.float32(0.137).reshape(()))
    result = fused(module)
    assert len(result["main"].body.blocks[0].bindings) == 1
    q = RNG.integers(-128, 128, (ROWS, COLUMNS), dtype=np.int8)
    np.testing.assert_array_equal(run(result, q), run(module, q))


def test_what_is_left_alone() -> None:
    """Scales of channels, integers without a sign (the input of a model), and an axis with rows behind it."""
    for module in (
        module_of(softmax, RNG.uniform(0.1, 0.2, COLUMNS).astype(np.float32)),
        module_of(softmax, np.float32(0.1).reshape(()), "uint8"),
        module_of(lambda x: relax.op.nn.relu(x), np.float32(0.1).reshape(())),
    ):
        assert FuseDequantizedRows()(module, []) is module


def test_compiled_rows_have_the_bits_of_separate_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the instructions of the target, which may contract products and sums."""
    graph = GraphWriter()
    graph.constant("scale", np.float32(0.0371))
    graph.constant("zero", np.uint8(117))

    def converted(x: str, name: str) -> str:
        levels = graph.node("QuantizeLinear", [x, "scale", "zero"], f"{name}_levels")
        return graph.node("DequantizeLinear", [levels, "scale", "zero"], f"{name}_real")

    gain, bias = (graph.weight(name, COLUMNS, fan_in=COLUMNS) for name in ("gain", "bias"))
    normal = graph.node("LayerNormalization", [converted("x", "x"), gain, bias], "normal", axis=-1)
    graph.node("Softmax", [converted(normal, "normal")], "y", axis=-1)
    path = tmp_path / "rows.onnx"
    path.write_bytes(graph.model((ROWS, COLUMNS), {"y": (ROWS, COLUMNS)}).SerializeToString())
    together = ec.compile(load_onnx(path), out=tmp_path / "together")
    monkeypatch.setattr(FuseDequantizedRows, "__call__", lambda _, module, decisions: module)
    apart = ec.compile(load_onnx(path), out=tmp_path / "apart")
    assert all("dequantized" in step.kernel for step in together.report.steps[1:])  # the first rounds the input
    assert not any("dequantized" in step.kernel for step in apart.report.steps)
    x = RNG.standard_normal((ROWS, COLUMNS)).astype(np.float32)
    np.testing.assert_array_equal(together.run(x)[0], apart.run(x)[0])
