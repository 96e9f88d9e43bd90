"""An exported program to a `Model`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import tvm
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, OutputKind
from torch.utils import _pytree as pytree
from tvm import relax, tirx

from edgecompile.errors import CompilerBugError, EdgeCompileError, InvalidModelError, UnsupportedModelError
from edgecompile.frontend.model import Model, TensorSpec
from edgecompile.frontend.torch.dimensions import Dimensions, Shape
from edgecompile.frontend.torch.dtypes import relax_dtype, to_numpy
from edgecompile.frontend.torch.importer import GraphImporter
from edgecompile.frontend.torch.prepare import prepare
from edgecompile.frontend.torch.reference import Reference
from edgecompile.frontend.torch.signature import identifier, input_names, output_names
from edgecompile.frontend.weights import refuse_nan


def convert(
    program: ExportedProgram,
    *,
    name: str,
    names: Sequence[str] | None = None,
    shapes: Mapping[str, Shape] | None = None,
    freeze: Mapping[str, np.ndarray] | None = None,
) -> Model:
    """Imports the program.

    Args:
        program: what `torch.export.export` made, in eval mode.
        name: a C identifier.
        names: names for the tensor inputs, in order; forward's argument names otherwise.
        shapes: by input name, sizes or names for its dynamic dimensions.
        freeze: by input name, the value that the input shall always have.

    Raises:
        InvalidModelError: the arguments do not fit the program, or its weights hold NaN.
        UnsupportedModelError: the program has something that cannot be imported.
    """
    inputs = input_names(program, names)
    frozen, shapes = dict(freeze or {}), dict(shapes or {})
    _check_names(frozen, inputs, "freeze")
    _check_names(shapes, inputs, "shapes")
    lowered = prepare(program)
    builder = relax.BlockBuilder()
    importer = GraphImporter(builder)
    dimensions = Dimensions(lowered)
    parameters = _bind_placeholders(lowered, importer, inputs, frozen, shapes, dimensions)
    output_hint, kept = output_names(program), _kept_outputs(lowered)
    try:
        with builder.function("main", list(parameters.values())):
            with builder.dataflow():
                for node in lowered.graph.nodes:
                    if node.op == "call_function":
                        importer.convert(node)
                results = [importer.env[node] for _, node in kept]
                output = builder.emit_output(results[0] if len(results) == 1 else relax.Tuple(results), "output")
            builder.emit_func_output(output)
    except EdgeCompileError:
        builder._end_block()  # TVM prints a warning for each block left open
        raise
    module = _finish(builder.get(), dimensions)
    positions = [index for index, input_name in enumerate(inputs) if input_name in parameters]
    return Model(
        module=module,
        inputs=tuple(_spec(key, parameter.ty) for key, parameter in parameters.items()),
        outputs=_output_specs(module, [output_hint[index] for index, _ in kept]),
        name=name,
        source="torch",
        sample_inputs=_samples(program, inputs, parameters),
        reference=Reference(
            program,
            positions,
            {inputs.index(key): value for key, value in frozen.items()},
            [index for index, _ in kept],
        ),
        reference_name=f"torch {torch.__version__.split('+')[0]}",
    )


def model_name(given: str | None, fallback: str) -> str:
    """The user's name for the library, or one made from the class or file.

    Raises:
        InvalidModelError: the given name is no C identifier.
    """
    if given is None:
        return identifier(fallback)
    if not (given.isidentifier() and given.isascii()):
        raise InvalidModelError(f"name must be a C identifier, not {given!r}; use letters, digits and underscores")
    return given


def _check_names(given: Mapping[str, Any], inputs: Sequence[str | None], what: str) -> None:
    unknown = sorted(set(given) - set(inputs))
    if unknown:
        known = ", ".join(name for name in inputs if name is not None)
        raise InvalidModelError(f"{what} names {', '.join(unknown)}, but the inputs are {known}; use those names")


def _bind_placeholders(
    program: ExportedProgram,
    importer: GraphImporter,
    inputs: Sequence[str | None],
    frozen: Mapping[str, np.ndarray],
    shapes: Mapping[str, Shape],
    dimensions: Dimensions,
) -> dict[str, relax.Var]:
    """Makes a parameter of each input and a constant of each weight in use; returns the parameters by input name."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    users = iter(inputs)
    weights = _Weights()
    tensors: list[tuple[str, fx.Node]] = []
    for spec in program.graph_signature.input_specs:
        node = nodes[spec.arg.name]
        if spec.kind == InputKind.USER_INPUT:
            input_name = next(users)
            if input_name is not None:
                tensors.append((input_name, node))
                if input_name in shapes:
                    dimensions.apply(input_name, node.meta["val"].shape, shapes[input_name])
        elif node.users:
            importer.env[node] = weights.constant(spec, _weight(program, spec.kind, spec.target))
    parameters: dict[str, relax.Var] = {}
    for input_name, node in tensors:
        shape, dtype = dimensions.convert(node.meta["val"].shape), relax_dtype(node.meta["val"].dtype)
        if input_name in frozen:
            importer.env[node] = _frozen(input_name, frozen[input_name], shape, dtype)
            continue
        parameters[input_name] = relax.Var(identifier_of(input_name), relax.TensorType(shape, dtype))
        importer.env[node] = parameters[input_name]
    if not parameters:
        raise UnsupportedModelError("the model has no tensor inputs left; a compiled model needs at least one")
    return parameters


def identifier_of(input_name: str) -> str:
    """`meta.size` as the variable meta_size."""
    return "".join(character if character.isalnum() else "_" for character in input_name)


def _weight(program: ExportedProgram, kind: InputKind, target: str) -> torch.Tensor:
    if kind == InputKind.CONSTANT_TENSOR or target not in program.state_dict:
        return program.constants[target]
    return program.state_dict[target]


class _Weights:
    """Constants by content: tied weights, and others that are equal bit by bit, become one constant."""

    def __init__(self) -> None:
        self._constants: dict[tuple[bytes, tuple[int, ...], torch.dtype], relax.Constant] = {}

    def constant(self, spec: InputSpec, tensor: torch.Tensor) -> relax.Constant:
        """The constant that holds a copy of the tensor; a parameter or buffer that holds NaN is refused."""
        array = to_numpy(tensor)
        if spec.kind != InputKind.CONSTANT_TENSOR:  # forward itself wrote those down
            refuse_nan({spec.target or spec.arg.name: array})
        content = hashlib.blake2b(array.reshape(-1).view(np.uint8).data).digest()
        key = (content, array.shape, tensor.dtype)
        if key not in self._constants:
            self._constants[key] = relax.const(tvm.runtime.tensor(array), relax_dtype(tensor.dtype))
        return self._constants[key]


def _frozen(name: str, value: np.ndarray, shape: list[Any], dtype: str) -> relax.Constant:
    array = np.asarray(value)
    fits = len(shape) == array.ndim and all(
        s == a for s, a in zip(shape, array.shape, strict=True) if isinstance(s, int)
    )
    if not fits or array.dtype.name != dtype:
        raise InvalidModelError(
            f"freeze: input {name} is {dtype}{shape}, the value {array.dtype.name}{list(array.shape)}; give one that "
            "fits"
        )
    return relax.const(array.copy(), dtype)


def _kept_outputs(program: ExportedProgram) -> list[tuple[int, fx.Node]]:
    """The tensors among the user's outputs, with their positions; None is left out.

    Raises:
        UnsupportedModelError: an output is a number or a string, or there is no tensor.
    """
    values = program.graph_module.graph.output_node().args[0]
    kept, position = [], 0
    for spec, value in zip(program.graph_signature.output_specs, values, strict=True):
        if spec.kind != OutputKind.USER_OUTPUT:
            continue
        if isinstance(value, fx.Node) and isinstance(value.meta["val"], torch.Tensor):
            kept.append((position, value))
        elif value is not None:
            raise UnsupportedModelError(f"output {position} of the model is {value}, no tensor; return tensors only")
        position += 1
    if not kept:
        raise UnsupportedModelError("the model returns no tensor; a compiled model needs at least one output")
    return kept


def _finish(module: tvm.IRModule, dimensions: Dimensions) -> tvm.IRModule:
    if not relax.analysis.check_well_formed(module):
        raise CompilerBugError("the PyTorch importer made an ill-formed module; please report the model")
    module = relax.transform.DeadCodeElimination()(module)
    if dimensions.bounds:
        lower = {key: low for key, (low, _) in dimensions.bounds.items()}
        upper = {key: high for key, (_, high) in dimensions.bounds.items() if high is not None}
        module["main"] = module["main"].with_attr("tir_var_lower_bound", lower)
        if upper:
            module["main"] = module["main"].with_attr("tir_var_upper_bound", upper)
    return module


def _spec(name: str, kind: relax.TensorType) -> TensorSpec:
    shape = tuple(int(dim) if isinstance(dim, tirx.IntImm) else _dimension_text(dim) for dim in kind.shape)
    return TensorSpec(name, shape, str(kind.dtype.dtype))


def _dimension_text(dim: tirx.Expr) -> str:
    return str(dim.name) if hasattr(dim, "name") else str(dim).replace("T.int64(", "(")


def _output_specs(module: tvm.IRModule, names: list[str]) -> tuple[TensorSpec, ...]:
    kind = module["main"].ret_ty
    fields = list(kind.fields) if isinstance(kind, relax.TupleType) else [kind]
    return tuple(_spec(name, field) for name, field in zip(names, fields, strict=True))


def _samples(
    program: ExportedProgram, inputs: Sequence[str | None], parameters: Mapping[str, relax.Var]
) -> dict[str, np.ndarray]:
    """The example inputs, unless a dimension was frozen to another size than theirs."""
    if program.example_inputs is None:
        return {}
    samples: dict[str, np.ndarray] = {}
    for name, value in zip(
        inputs, pytree.tree_leaves(program.example_inputs, is_leaf=lambda leaf: leaf is None), strict=True
    ):
        if name is None or name not in parameters:
            continue
        samples[name] = to_numpy(value)
        static = _spec(name, parameters[name].ty).shape
        if any(isinstance(want, int) and want != have for want, have in zip(static, value.shape, strict=True)):
            return {}
    return samples
