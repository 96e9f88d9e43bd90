"""The original's own answers, and the name of what gives them."""

from __future__ import annotations

import importlib.metadata
import importlib.util

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper

from edgecompile.frontend.onnx.reference import make_reference
from tests.frontend.onnx.graphs import model, relu, value

X = np.array([[-1, 2, -3], [4, -5, 6]], np.float32)

needs_onnxruntime = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed"
)


@needs_onnxruntime
def test_onnxruntime_is_named_where_it_runs() -> None:
    run, name = make_reference(relu(), {})
    assert name == f"onnxruntime {importlib.metadata.version('onnxruntime')}"
    assert run is not None
    np.testing.assert_array_equal(run([X])[0], np.maximum(X, 0))


@needs_onnxruntime
def test_large_weights_reach_the_reference() -> None:
    weight = np.arange(3 * 2000, dtype=np.float32).reshape(3, 2000)
    proto = model([helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x")], [value("y", None)])
    run, name = make_reference(proto, {"w": weight})
    assert name.startswith("onnxruntime ") and run is not None
    np.testing.assert_allclose(run([X])[0], X @ weight, rtol=1e-6)
    assert [entry.name for entry in proto.graph.input] == ["x"]


def test_onnx_is_named_where_onnxruntime_refuses() -> None:
    specs = [value(name, kind=onnx.TensorProto.BFLOAT16) for name in "xy"]  # it has no sums of bfloat16
    run, name = make_reference(model([helper.make_node("Add", ["x", "x"], ["y"])], specs[:1], specs[1:]), {})
    assert name == f"onnx {onnx.__version__}"
    assert run is not None
    with pytest.warns(UserWarning, match=r"refused the model .*onnx\.reference"):
        found = run([X.astype(ml_dtypes.bfloat16)])
    np.testing.assert_array_equal(found[0].astype(np.float32), X + X)
