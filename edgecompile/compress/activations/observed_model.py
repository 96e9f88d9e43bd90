"""A model compiled for this machine with all its float tensors as outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from edgecompile.compress.graph.variables import bindings_of, float_variables
from edgecompile.errors import InvalidCalibrationError, UnsupportedModelError
from edgecompile.frontend.model import Model, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    import tvm
    from tvm import relax


class ObservedModel:
    """Runs a model and answers every float32 tensor that depends on its inputs; use it in a `with` statement.

    Args:
        folder: where the compiled model is written; it may go when the object is closed.
        only: the names of the tensors to answer; all float32 ones unless given.
        progress: called with the name of each phase of the compilation.

    Raises:
        InvalidModelError: two variables share a name.
        InvalidCalibrationError: there is no float32 tensor.
        UnsupportedModelError: `main` has control flow; or as for `compile`.
    """

    def __init__(
        self,
        model: Model,
        folder: Path,
        threads: int,
        progress: Callable[[str], None],
        only: Collection[str] | None = None,
    ) -> None:
        from edgecompile.driver import compile

        variables = {name: found for name, found in float_variables(model).items() if only is None or name in only}
        if not variables:
            raise InvalidCalibrationError(f"calibration needs a model with float32 tensors, {model.name!r} has none")
        parameters = [parameter.name for parameter in model.module["main"].params]
        named = zip(parameters, (spec.name for spec in model.inputs), strict=True)
        self._inputs = {parameter: name for parameter, name in named if parameter in variables}
        inner = {name: variable for name, variable in variables.items() if name not in self._inputs}
        self._outputs = list(inner)
        self._artifact = None
        if inner:
            # By the direct sums, which are more exact than Winograd's, and compile in less time and memory.
            self._artifact = compile(
                _with_outputs(model, inner), "host", folder, threads=threads, prefer="size", progress=progress
            )

    def run(self, sample: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
        """The name and the values of each tensor for one sample, the inputs first.

        Args:
            sample: by input name, each of the input's shape and dtype.
        """
        for parameter, name in self._inputs.items():
            yield parameter, sample[name]
        if self._artifact is not None:
            yield from zip(self._outputs, self._artifact.run(dict(sample)), strict=True)

    def __enter__(self) -> ObservedModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._artifact is not None:
            self._artifact.close()


def _with_outputs(model: Model, variables: Mapping[str, relax.Var]) -> Model:
    """The model with other outputs: `main(...) -> (variable, ...)`."""
    specs = tuple(TensorSpec(name, _shape(variable), "float32") for name, variable in variables.items())
    return dataclasses.replace(
        model, module=_return_all(model.module, list(variables.values())), outputs=specs, reference=None
    )


def _return_all(module: tvm.IRModule, variables: list[relax.Var]) -> tvm.IRModule:
    """`main` with its bindings in one dataflow block, and the variables as its results."""
    import tvm
    from tvm import relax

    main = module["main"]
    for binding in bindings_of(main):
        if isinstance(binding.value, relax.If):
            raise UnsupportedModelError("calibration needs a model without control flow, found a branch: remove it")
    kernels = {name: function for name, function in module.functions_items() if name.name_hint != "main"}
    builder = relax.BlockBuilder(tvm.IRModule(kernels, attrs=module.attrs))
    with builder.function("main", list(main.params)):
        with builder.dataflow():
            for binding in bindings_of(main):
                builder.emit_normalized(binding)
            output = builder.emit_output(relax.Tuple(variables) if len(variables) > 1 else variables[0])
        builder.emit_func_output(output)
    return builder.finalize()


def _shape(variable: relax.Var) -> tuple[int | str, ...]:
    from tvm import tirx

    return tuple(int(extent) if isinstance(extent, tirx.IntImm) else str(extent) for extent in variable.ty.shape.values)
