"""An exported program made ready for import: lowered to the operators that have converters, and checked."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.torch.dtypes import is_supported
from edgecompile.frontend.torch.importer import can_convert, key_of, layer_of
from edgecompile.settings import LIMITS

_ATEN = torch.ops.aten

# PyTorch would take these apart; Relax has one operator for each, which passes recognise.
_KEPT_WHOLE = (
    _ATEN.linear.default,
    _ATEN.matmul.default,
    _ATEN.silu.default,
    _ATEN.rms_norm.default,
    _ATEN.scaled_dot_product_attention.default,
    _ATEN.pixel_shuffle.default,
    _ATEN.masked_fill.Scalar,
    _ATEN.masked_fill.Tensor,
    _ATEN.unbind.int,
    _ATEN.stack.default,
    _ATEN.prelu.default,
    _ATEN._prelu_kernel.default,
)

# Taken apart where the scale is not what the sizes say: Relax computes source positions from the sizes.
_RESIZES = (_ATEN.upsample_nearest2d.vec, _ATEN.upsample_bilinear2d.vec, _ATEN.upsample_bicubic2d.vec)

# Checks of the data or of dimensions; they are no part of the function that the model computes.
_ASSERTIONS = frozenset(
    {
        "_assert_async.default",
        "_assert_async.msg",
        "_assert_scalar.default",
        "_assert_tensor_metadata.default",
        "sym_constrain_range.default",
        "sym_constrain_range_for_size.default",
    }
)


def prepare(program: ExportedProgram) -> ExportedProgram:
    """Lowers the program and checks that all of it can be imported.

    Raises:
        InvalidModelError: more nodes than the limit.
        UnsupportedModelError: operators without converter (all are named), random numbers, state that is written,
            dtypes that the IR does not have, or inputs that are not tensors.
    """
    if len(program.graph.nodes) > LIMITS.nodes:
        raise InvalidModelError(
            f"the exported program has {len(program.graph.nodes)} nodes, more than the limit of {LIMITS.nodes}; "
            "split it"
        )
    _check_state(program)
    _check_random(program.graph.nodes)
    table = torch.export.default_decompositions()
    for operator in _KEPT_WHOLE:
        table.pop(operator, None)
    table.update(torch._decomp.get_decompositions(_inexact_resizes(program.graph.nodes)))
    lowered = program.run_decompositions(table)
    _drop_assertions(lowered.graph_module.graph)
    _check_state(lowered)  # again, for in-place writes show in the signature only now
    _check_random(lowered.graph.nodes)
    _check_operators(lowered.graph.nodes)
    _check_dtypes(lowered)
    return lowered


def _inexact_resizes(nodes: Iterable[fx.Node]) -> list[torch._ops.OpOverload]:
    """The resizing operators of which some use has a scale that disagrees with its sizes."""
    inexact = []
    for node in nodes:
        scales = node.args[-1] if node.target in _RESIZES else None
        if not isinstance(scales, list | tuple) or len(node.args) < len(node.target._schema.arguments):
            continue
        before, after = node.args[0].meta["val"].shape[2:], node.meta["val"].shape[2:]
        if any(abs(new / old - scale) > 1e-6 for old, new, scale in zip(before, after, scales, strict=True)):
            inexact.append(node.target)
    return inexact


def _drop_assertions(graph: fx.Graph) -> None:
    for node in reversed(list(graph.nodes)):
        if node.op == "call_function" and key_of(node) in _ASSERTIONS and not node.users:
            graph.erase_node(node)
    graph.eliminate_dead_code(is_impure_node=lambda node: node.op in ("placeholder", "output"))


def _check_state(program: ExportedProgram) -> None:
    signature = program.graph_signature
    written = sorted({*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()})
    if written:
        raise UnsupportedModelError(
            f"the model writes to {_some(written)}, but a compiled model keeps no state between runs; export it in "
            "eval "
            "mode, or make the state an input and an output"
        )
    for spec in signature.input_specs:
        if spec.kind in (InputKind.CUSTOM_OBJ, InputKind.TOKEN):
            raise UnsupportedModelError(
                f"the model holds the object {spec.target or spec.arg.name}, which is no tensor; replace it by tensors"
            )


def _check_random(nodes: Iterable[fx.Node]) -> None:
    found = []
    for node in nodes:
        tags = getattr(node.target, "tags", ())
        if torch.Tag.nondeterministic_seeded not in tags or not node.users:
            continue
        if _is_inactive(node):
            continue
        found.append(f"{node.target} ({layer_of(node)})")
    if found:
        raise UnsupportedModelError(
            f"the model draws random numbers in {_some(found)}; export it in eval mode, or make the noise an input"
        )


def _is_inactive(node: fx.Node) -> bool:
    """Dropout in eval mode or with probability zero, and attention without dropout, draw nothing."""
    schema = getattr(node.target, "_schema", None)
    values = (
        {}
        if schema is None
        else {
            parameter.name: node.args[i]
            if i < len(node.args)
            else node.kwargs.get(parameter.name, parameter.default_value)
            for i, parameter in enumerate(schema.arguments)
        }
    )
    probability = values.get("dropout_p", values.get("p", values.get("dropout")))
    return values.get("train") is False or values.get("training") is False or probability == 0


def _check_dtypes(program: ExportedProgram) -> None:
    found = []
    for node in program.graph.nodes:
        value = node.meta.get("val")
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, torch.Tensor) and not is_supported(item.dtype):
                found.append(f"{node.name} ({item.dtype})")
    if found:
        raise UnsupportedModelError(
            f"dtypes that the compiler does not have in {_some(found)}; compute in float32 or integers instead"
        )


def _check_operators(nodes: Iterable[fx.Node]) -> None:
    missing: dict[str, list[str]] = {}
    for node in nodes:
        if node.op == "get_attr" or (node.op == "call_function" and not can_convert(node)):
            missing.setdefault(str(node.target), []).append(node.name)
    if missing:
        listed = ", ".join(f"{name} (node {_some(where, 3)})" for name, where in sorted(missing.items()))
        raise UnsupportedModelError(
            f"operators that cannot be imported: {listed}; replace them in the model's forward, or export the model to "
            "ONNX and load that"
        )


def _some(names: list[str], most: int = 8) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
