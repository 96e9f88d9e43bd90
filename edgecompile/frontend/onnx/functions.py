"""Bodies of functions: the model's own, and those that ONNX's operator schemas carry.

`onnx.inliner` does not take over: it leaves the calls of functions at another opset than the model's unless it may
convert versions, and drops the names of calls, which messages need. Schema bodies would need this expansion anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from edgecompile.frontend.onnx.node import Node


def schema_body(
    node: Node, opsets: Mapping[str, int], input_types: Sequence[onnx.TypeProto]
) -> onnx.FunctionProto | None:
    """The body that the schema of `node`'s operator gives for the opset at hand, or None.

    Args:
        opsets: the operator-set versions that the node's surroundings import.
        input_types: the types of all inputs, an empty one for each input left out; some bodies depend on them.
    """
    try:
        schema = onnx.defs.get_schema(node.op_type, node.opset, node.domain)
    except onnx.defs.SchemaError:
        return None
    body = None
    version = _newest(schema.context_dependent_function_opset_versions, opsets.get("", node.opset))
    if version is not None:
        serialized_types = [entry.SerializeToString() for entry in input_types]
        try:
            body = schema.get_context_dependent_function_with_opset_version(
                version, node.proto.SerializeToString(), serialized_types
            )
        except (RuntimeError, ValueError):  # some builders throw on types or attributes they do not cover
            body = None
    if not body:
        version = _newest(schema.function_opset_versions, opsets.get("", node.opset))
        body = schema.get_function_with_opset_version(version) if version is not None else None
    if not body:
        return None
    function = onnx.FunctionProto.FromString(body) if isinstance(body, bytes) else body
    _set_default_attributes(function, schema)
    return function


def instantiate(function: onnx.FunctionProto, node: Node) -> list[onnx.NodeProto]:
    """The nodes of `function`, each reference to an attribute of the function replaced by `node`'s value of it."""
    values = {attribute.name: attribute for attribute in function.attribute_proto}
    values.update({attribute.name: attribute for attribute in node.proto.attribute})
    nodes = []
    for original in function.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(original)
        _substitute([copy], values)
        nodes.append(copy)
    return nodes


def _newest(versions: Sequence[int], opset: int) -> int | None:
    known = [version for version in versions if version <= opset]
    return max(known) if known else None


def _set_default_attributes(function: onnx.FunctionProto, schema: onnx.defs.OpSchema) -> None:
    """Adds the schema's default values, which its function body refers to by name."""
    present = {attribute.name for attribute in function.attribute_proto}
    for name, attribute in schema.attributes.items():
        if name not in present and attribute.default_value.name:
            function.attribute_proto.append(attribute.default_value)


def _substitute(nodes: Sequence[onnx.NodeProto], values: Mapping[str, onnx.AttributeProto]) -> None:
    for node in nodes:
        kept = []
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                value = values.get(attribute.ref_attr_name)
                if value is None:  # the caller left an optional attribute out, so the inner node leaves it out, too
                    continue
                resolved = onnx.AttributeProto()
                resolved.CopyFrom(value)
                resolved.name = attribute.name
                kept.append(resolved)
            else:
                for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                    _substitute(graph.node, values)
                kept.append(attribute)
        if len(kept) != len(node.attribute) or any(entry.ref_attr_name for entry in node.attribute):
            copies = [onnx.AttributeProto.FromString(entry.SerializeToString()) for entry in kept]
            del node.attribute[:]
            node.attribute.extend(copies)
