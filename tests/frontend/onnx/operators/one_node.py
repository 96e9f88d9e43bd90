"""Runs models of one node through the frontend and TVM's virtual machine, and compares with the original."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edgecompile.frontend.model import Model
from edgecompile.frontend.onnx import load_onnx


def make_model(
    op_type: str,
    inputs: Mapping[str, np.ndarray | None],
    *,
    outputs: Sequence[str] = ("float32",),
    opset: int = 21,
    domain: str = "",
    domain_version: int = 1,
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one node; an input of None is left out, an output of dtype "" is not asked for."""
    names = [name if array is not None else "" for name, array in inputs.items()]
    output_names = [f"out{index}" if dtype else "" for index, dtype in enumerate(outputs)]
    node = helper.make_node(op_type, names, output_names, domain=domain, name="the_node", **attributes)
    graph = helper.make_graph(
        [node],
        "one_node",
        [_info(name, array.dtype, array.shape) for name, array in inputs.items() if array is not None],
        [_info(name, np.dtype(dtype), None) for name, dtype in zip(output_names, outputs, strict=True) if name],
    )
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, domain_version)] if domain else [])
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def _info(name: str, dtype: np.dtype[Any], shape: Sequence[int] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)


def run(model: Model, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs by TVM's own compiler and virtual machine."""
    import tvm
    from tvm import relax

    machine = relax.VirtualMachine(tvm.compile(model.module, "llvm"), tvm.cpu())
    outputs = machine["main"](*[tvm.runtime.tensor(array) for array in inputs])
    tensors = [outputs] if hasattr(outputs, "numpy") else list(outputs)
    return [tensor.numpy() for tensor in tensors]


def check_model(
    proto: onnx.ModelProto,
    inputs: Mapping[str, np.ndarray | None],
    *,
    freeze: Sequence[str] = (),
    expected: Sequence[np.ndarray] | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> Model:
    """Asserts that the compiled model agrees with `expected`, or with the original run by ONNX Runtime or ONNX.

    The defaults allow the rounding of float32 sums in another order; integers must be equal.
    """
    model = load_onnx(proto, freeze={name: inputs[name] for name in freeze})
    given = [array for name, array in inputs.items() if array is not None and name not in freeze]
    if expected is None:
        assert model.reference is not None
        expected = model.reference(given)
    found = run(model, given)
    assert len(found) == len(expected)
    for have, want in zip(found, expected, strict=True):
        assert have.dtype == want.dtype
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, rtol=rtol, atol=atol)
    return model


def operators_of(model: Model) -> set[str]:
    """The names of the Relax operators and kernels that `main` calls."""
    from tvm import relax

    calls: set[str] = set()

    def visit(expr: relax.Expr) -> None:
        name = getattr(getattr(expr, "op", None), "name", None)
        if name is not None:
            calls.add(name)

    relax.analysis.post_order_visit(model.module["main"], visit)
    return calls
