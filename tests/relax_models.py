"""Small Relax modules, built by hand and wrapped as models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax

from edgecompile.frontend.model import Model, TensorSpec


def make_model(
    specs: Sequence[TensorSpec],
    body: Callable[..., Any],
    outputs: Sequence[TensorSpec],
    *,
    name: str = "net",
    reference: Callable[..., list[np.ndarray]] | None = None,
) -> Model:
    """A model whose `main` computes `body(builder, *inputs)`, one Relax expression or a list of them.

    Args:
        specs: the inputs; a dimension given by name becomes a symbolic one.
        outputs: what `body` answers.
        reference: the same function on NumPy arrays.
    """
    symbols: dict[str, tvm.tirx.Var] = {}

    def dimension(value: int | str) -> int | tvm.tirx.Var:
        return value if isinstance(value, int) else symbols.setdefault(value, tvm.tirx.Var(value, "int64"))

    inputs = [relax.Var(s.name, relax.TensorType([dimension(d) for d in s.shape], s.dtype)) for s in specs]
    builder = relax.BlockBuilder()
    with builder.function("main", inputs):
        with builder.dataflow():
            results = body(builder, *inputs)
            results = results if isinstance(results, list) else [results]
            result = builder.emit_output(results[0] if len(results) == 1 else relax.Tuple(results))
        builder.emit_func_output(result)
    return Model(
        module=builder.get(),
        inputs=tuple(specs),
        outputs=tuple(outputs),
        name=name,
        source="torch",
        reference=(lambda arrays: reference(*arrays)) if reference else None,
        reference_name="numpy" if reference else "",
    )


def constant(array: np.ndarray) -> tvm.ir.GenericConst:
    """A Relax constant."""
    return relax.const(array)


def run_virtual_machine(module: tvm.IRModule, *arrays: np.ndarray) -> list[np.ndarray]:
    """The module's results by TVM's own lowering: the reference for rewrites."""
    machine = relax.VirtualMachine(tvm.compile(module, tvm.target.Target("llvm")), tvm.cpu())
    result = machine["main"](*[tvm.runtime.tensor(array) for array in arrays])
    return [result.numpy()] if hasattr(result, "numpy") else [item.numpy() for item in result]
