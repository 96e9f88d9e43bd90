"""An `nn.Module` with example inputs as an exported program; the caller's module stays as it is."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.torch.dimensions import Shape, export_dims
from edgecompile.frontend.torch.signature import flatten_names, rename


def export(
    module: torch.nn.Module,
    example_inputs: Any,
    input_names: Sequence[str] | None,
    shapes: Mapping[str, Shape] | None,
) -> ExportedProgram:
    """Traces a copy of the module in eval mode.

    Args:
        module: any module that `torch.export` can trace.
        example_inputs: a tensor, a tuple of positional arguments, or a dict of keyword arguments.
        input_names: the user's names for the tensor inputs, in which `shapes` speaks.
        shapes: by input name, one entry per dimension: the example's size, or a name to leave the dimension dynamic.

    Raises:
        InvalidModelError: no examples, examples that `forward` rejects, or a module that cannot be copied.
        UnsupportedModelError: `torch.export` cannot trace the module.
    """
    args, kwargs = _arguments(module, example_inputs)
    frozen = _eval_copy(module)
    dynamic = _dynamic_shapes(frozen, args, kwargs, input_names, shapes) if shapes else None
    try:
        with torch.no_grad():
            frozen(*copy.deepcopy(args), **copy.deepcopy(kwargs))
    except Exception as error:
        raise InvalidModelError(
            f"{type(module).__name__} fails on its example inputs: {_first_line(error)}; give inputs that its "
            "forward accepts"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return torch.export.export(frozen, args, kwargs, dynamic_shapes=dynamic)
    except Exception as error:
        raise UnsupportedModelError(
            f"torch.export cannot trace {type(module).__name__}: {_first_line(error)}; remove branches on tensor "
            "values, or "
            "export it yourself and load the ExportedProgram"
        ) from error


def _arguments(module: torch.nn.Module, example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Normalises the accepted forms; the tensors go to the CPU."""
    if example_inputs is None:
        raise InvalidModelError(
            f"{type(module).__name__} needs example_inputs: a tensor, a tuple of forward's arguments or a dict of "
            "its keywords"
        )
    if isinstance(example_inputs, dict):
        pair: tuple[tuple[Any, ...], dict[str, Any]] = ((), dict(example_inputs))
    elif isinstance(example_inputs, list | tuple):
        pair = (tuple(example_inputs), {})
    else:
        pair = ((example_inputs,), {})
    return pytree.tree_map(_on_cpu, pair)


def _on_cpu(value: Any) -> Any:
    if type(value).__module__ == "numpy" and hasattr(value, "shape"):
        return torch.as_tensor(value)
    return value.detach().cpu() if isinstance(value, torch.Tensor) else value


def _eval_copy(module: torch.nn.Module) -> torch.nn.Module:
    """A copy on the CPU in eval mode, so that neither the trace nor later training touches the other."""
    tensors = [*module.parameters(), *module.buffers()]
    if any(tensor.is_meta for tensor in tensors):
        raise InvalidModelError(
            f"{type(module).__name__} has parameters on the meta device, which hold no values; load its weights first"
        )
    try:
        frozen = copy.deepcopy(module)
    except Exception as error:
        raise InvalidModelError(
            f"{type(module).__name__} cannot be copied: {_first_line(error)}; export it with torch.export.export and "
            "load that"
        ) from error
    if any(child.training for child in module.modules()):
        warnings.warn(
            f"{type(module).__name__} is in training mode; a copy in eval mode is compiled, so dropout is off and "
            "batch "
            "normalisation uses its running statistics",
            stacklevel=4,
        )
    return frozen.to("cpu").eval()


def _dynamic_shapes(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    input_names: Sequence[str] | None,
    shapes: Mapping[str, Shape],
) -> dict[str, Any]:
    values, spec = pytree.tree_flatten((args, kwargs))
    parameters = _positional_names(module, len(args))
    tensors = [isinstance(value, torch.Tensor) for value in values]
    names = rename(flatten_names(spec, parameters), tensors, input_names)
    dims = export_dims(shapes, names, values)
    nested_args, nested_kwargs = pytree.tree_unflatten(dims, spec)
    return dict(zip(parameters, nested_args, strict=True)) | nested_kwargs


def _positional_names(module: torch.nn.Module, count: int) -> Sequence[str]:
    parameters = list(inspect.signature(module.forward).parameters.values())
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        raise InvalidModelError("shapes with names needs a forward without *args; export the module yourself")
    return [parameter.name for parameter in parameters[:count]]


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:240]
