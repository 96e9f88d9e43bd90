"""The names of a program's inputs and outputs, taken from its forward signature and its nested containers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from edgecompile.errors import InvalidModelError, UnsupportedModelError


def input_names(program: ExportedProgram, given: Sequence[str] | None) -> list[str | None]:
    """One name per flattened user input; None for those that are no tensors.

    `forward(image, meta)` with `meta={"size": t, "boxes": (u, v)}` gives image, meta.size, meta.boxes.0, meta.boxes.1.

    Raises:
        InvalidModelError: `given` has the wrong length or repeats a name.
    """
    spec = program.call_spec.in_spec
    paths = flatten_names(spec, program.module_call_graph[0].signature.forward_arg_names)
    return rename(paths, [isinstance(value, torch.Tensor) for value in _user_input_values(program)], given)


def rename(paths: Sequence[str], are_tensors: Sequence[bool], given: Sequence[str] | None) -> list[str | None]:
    """The user's names in place of those of the tensors; None in place of what is no tensor.

    Raises:
        InvalidModelError: `given` has the wrong length or repeats a name.
    """
    names = [path if is_tensor else None for path, is_tensor in zip(paths, are_tensors, strict=True)]
    if given is None:
        return names
    tensors = [name for name in names if name is not None]
    if len(given) != len(tensors):
        raise InvalidModelError(
            f"input_names needs {len(tensors)} names, for {', '.join(tensors)}, and has {len(given)}: "
            f"{', '.join(given)}"
        )
    if len(set(given)) != len(given):
        raise InvalidModelError(f"input_names repeats a name: {', '.join(given)}; give each input a name of its own")
    replacement = iter(given)
    return [None if name is None else next(replacement) for name in names]


def flatten_names(spec: Any, argument_names: Sequence[str] | None) -> list[str]:
    """The dotted path of each leaf of `(args, kwargs)`."""
    args, kwargs = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    named: dict[str, Any] = {}
    for index, value in enumerate(args):
        known = argument_names is not None and index < len(argument_names)
        named[argument_names[index] if known else f"input_{index}"] = value  # type: ignore[index]
    named.update(kwargs)
    paths: dict[int, str] = {}
    for name, value in named.items():
        for leaf, path in _leaves(value, name):
            paths[leaf] = path
    return [paths[index] for index in range(spec.num_leaves)]


def output_names(program: ExportedProgram) -> list[str]:
    """One name per flattened output.

    A single tensor is `output`; the items of a tuple `output_0`, `output_1`, ...; of a dict or dataclass its keys; what
    is nested in them `output_0.1`, `features.low`.
    """
    spec = program.call_spec.out_spec
    tree = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    if isinstance(tree, int):
        return ["output"]
    found: dict[int, str] = {}
    for key, value in _items(tree):
        for leaf, path in _leaves(value, key if not key.isdigit() else f"output_{key}"):
            found[leaf] = path
    return [found[index] for index in range(spec.num_leaves)]


def identifier(text: str) -> str:
    """The nearest C identifier, in snake case: `MobileNetV2` gives mobile_net_v2."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    cleaned = re.sub(r"\W+", "_", snake, flags=re.ASCII).strip("_").lower()
    return f"_{cleaned}" if cleaned[:1].isdigit() else cleaned or "model"


def _leaves(value: Any, path: str) -> list[tuple[int, str]]:
    if isinstance(value, int):
        return [(value, path)]
    if value is None:
        return []
    return [leaf for key, item in _items(value) for leaf in _leaves(item, f"{path}.{key}")]


def _items(tree: Any) -> list[tuple[str, Any]]:
    """The children of a container with their keys; containers registered with PyTorch's pytree count."""
    if isinstance(tree, dict):
        return [(str(key), value) for key, value in tree.items()]
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return list(zip(tree._fields, tree, strict=True))
    if isinstance(tree, list | tuple):
        return [(str(index), value) for index, value in enumerate(tree)]
    registered = pytree.SUPPORTED_NODES.get(type(tree))
    if registered is None:
        raise UnsupportedModelError(f"an input or output is a {type(tree).__name__}; use tuples, lists and dicts")
    if registered.flatten_with_keys_fn is not None:
        children, _ = registered.flatten_with_keys_fn(tree)
        return [
            (str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))), item) for key, item in children
        ]
    children, _ = registered.flatten_fn(tree)
    return [(str(index), value) for index, value in enumerate(children)]


def _user_input_values(program: ExportedProgram) -> list[Any]:
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    values = []
    for spec in program.graph_signature.input_specs:
        if spec.kind == torch.export.graph_signature.InputKind.USER_INPUT:
            values.append(nodes[spec.arg.name].meta.get("val") if spec.arg.name in nodes else None)
    return values
