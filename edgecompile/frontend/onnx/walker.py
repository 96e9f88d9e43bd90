"""`Walker`: converts graphs, node by node, and collects what it cannot convert."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import tvm
from tvm import relax, tirx

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.frontend.onnx import dtypes, fold, functions, registry, symbolic
from edgecompile.frontend.onnx.context import Context, Inputs, Value, make_constant, shape_of
from edgecompile.frontend.onnx.limits import check_dimensions
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.scope import MISSING, Scope, constant_value, find_value
from edgecompile.frontend.onnx.signature import identifier
from edgecompile.settings import LIMITS


class Walker:
    """Converts graphs into the block builder `bb` and collects what it cannot convert."""

    def __init__(self, model_functions: Sequence[onnx.FunctionProto]) -> None:
        self.bb = relax.BlockBuilder()
        self._functions = {(entry.domain, entry.name, entry.overload): entry for entry in model_functions}
        self._symbolic: dict[relax.Expr, np.ndarray] = {}
        self._problems: list[tuple[Node, str]] = []
        self._depth = 0

    def hint(self, node: Node) -> str:
        """The name for bindings that come from `node`."""
        return identifier(node.name, node.op_type)

    def symbolic(self, value: Value) -> np.ndarray | None:
        """The expressions behind a shape-like value, or None."""
        return self._symbolic.get(value) if isinstance(value, relax.Expr) else None

    def make_symbolic(self, entries: np.ndarray, node: Node) -> relax.Expr:
        """An int64 tensor of rank 0 or 1 whose entries are numbers or expressions of shape variables."""
        flat = entries.reshape(-1).tolist()
        if all(isinstance(entry, int) for entry in flat):
            return make_constant(np.array(flat, np.int64).reshape(entries.shape))
        shape = relax.ShapeExpr([tirx.IntImm("int64", e) if isinstance(e, int) else e for e in flat])
        value = self.bb.emit(relax.op.shape_to_tensor(shape), name_hint=self.hint(node))
        if entries.ndim == 0:
            value = self.bb.emit(relax.op.reshape(value, ()), name_hint=self.hint(node))
        self._symbolic[value] = entries
        return value

    def walk(self, nodes: Sequence[onnx.NodeProto], scope: Scope, opsets: Mapping[str, int]) -> None:
        """Converts `nodes` in order; each output becomes a value of `scope`."""
        for proto in nodes:
            domain = "" if proto.domain == "ai.onnx" else proto.domain
            node = Node.parse(proto, opsets.get(domain, 1))
            values = Inputs(self._value(node, name, scope) for name in node.inputs)
            outputs = self._convert(node, values, scope, opsets)
            if len(outputs) < len(node.outputs):
                outputs = (*outputs, *[None] * (len(node.outputs) - len(outputs)))
            for name, output in zip(node.outputs, outputs, strict=False):
                if name:
                    _check_size(name, output)
                    scope[name] = output

    def convert_subgraph(
        self, graph: onnx.GraphProto, arguments: Sequence[Value], scope: Mapping[str, Value], opsets: Mapping[str, int]
    ) -> list[Value]:
        """The outputs of `graph` with its inputs bound to `arguments`; the values of `scope` are visible in it."""
        local = {tensor.name: constant_value(onnx.numpy_helper.to_array(tensor)) for tensor in graph.initializer}
        if len(arguments) != len(graph.input):
            raise InvalidModelError(f"a subgraph of {len(arguments)} inputs was needed, found {len(graph.input)}")
        local.update({value.name: argument for value, argument in zip(graph.input, arguments, strict=True)})
        inner: Scope = ChainMap(local, scope)  # type: ignore[arg-type]
        self.walk(graph.node, inner, opsets)
        return [find_value(inner, value.name) for value in graph.output]

    def convert_inner(
        self,
        outer: Node,
        op_type: str,
        values: Sequence[Value],
        attributes: Mapping[str, Any],
        opsets: Mapping[str, int],
    ) -> tuple[Value, ...]:
        """The outputs of one more node of ONNX's own domain, made up on behalf of `outer`."""
        names = [f"input{index}" if value is not None else "" for index, value in enumerate(values)]
        count = max(1, len(outer.outputs))
        proto = onnx.helper.make_node(
            op_type, names, [f"output{i}" for i in range(count)], name=outer.name, **attributes
        )
        node = Node.parse(proto, opsets.get("", outer.opset))
        scope = {name: value for name, value in zip(names, values, strict=True) if name}
        return self._convert(node, Inputs(values), scope, opsets)

    def raise_problems(self, node_count: int) -> None:
        """Raises `UnsupportedModelError` with all that was collected, grouped by operator and reason."""
        if not self._problems:
            return
        groups: dict[tuple[str, str], list[str]] = {}
        for node, reason in self._problems:
            operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            groups.setdefault((operator, reason), []).append(node.name)
        parts = []
        for (operator, reason), names in groups.items():
            shown = ", ".join(f"'{name}'" for name in names[:8]) + (
                f" and {len(names) - 8} more" if len(names) > 8 else ""
            )
            parts.append(f"{operator} ({shown}): {reason}")
        raise UnsupportedModelError(
            f"{len(self._problems)} of {node_count} nodes cannot be imported: " + "; ".join(parts)
        )

    def _value(self, node: Node, name: str, scope: Scope) -> Value:
        if name == "":
            return None
        if name not in scope:
            raise InvalidModelError(f"{node}: a value named '{name}' was needed before it, found none; export it again")
        return scope[name]

    def _convert(
        self, node: Node, values: Inputs, scope: Mapping[str, Value], opsets: Mapping[str, int]
    ) -> tuple[Value, ...]:
        """The node's outputs by the first way that works: folding, our function for it, a function body."""
        if any(value is MISSING for value in values):
            if not self._is_known(node):
                self._problems.append((node, "no importer knows this operator"))
            return (MISSING,) * len(node.outputs)
        try:
            return self._convert_known(node, values, scope, opsets)
        except UnsupportedModelError as error:
            self._problems.append((node, str(error).removeprefix(f"{node}: ")))
        except InvalidModelError:
            raise
        except RecursionError as error:
            raise InvalidModelError(f"{node}: fewer levels of functions and subgraphs were needed") from error
        except Exception as error:  # TVM reports wrong shapes and dtypes by many kinds; the user needs the node's name
            lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            self._problems.append((node, f"{type(error).__name__}: {lines[-1][:200]}"))
        return (MISSING,) * len(node.outputs)

    def _convert_known(
        self, node: Node, values: Inputs, scope: Mapping[str, Value], opsets: Mapping[str, int]
    ) -> tuple[Value, ...]:
        context = Context(self, scope, node, opsets)
        folded = self._fold(context, node, values, opsets)
        if folded is not None:
            return folded
        key = (node.proto.domain, node.op_type, node.proto.overload)
        if key in self._functions:
            return self._expand(self._functions[key], node, values)
        function = registry.find(node.domain, node.op_type, node.opset)
        if function is not None:
            if not registry.takes_host_arrays(node.domain, node.op_type):
                self._refuse_host_arrays(node, values)
            result = function(context, node, values)
            outputs = result if isinstance(result, tuple) else (result,)
            return tuple(self.bb.emit(value) if _is_unbound(value) else value for value in outputs)
        types = [_type_of(value) for value in values]
        body = functions.schema_body(node, opsets, types) if all(entry is not None for entry in types) else None
        if body is None:
            raise node.unsupported(
                "no importer knows this operator; replace it in the model"
                if node.domain == ""
                else f"no importer knows this operator of domain '{node.domain}'; export with ONNX's own operators"
            )
        return self._expand(body, node, values)

    def _fold(
        self, context: Context, node: Node, values: Inputs, opsets: Mapping[str, int]
    ) -> tuple[Value, ...] | None:
        arrays = [context.constant(value) for value in values]
        if all(array is not None or value is None for array, value in zip(arrays, values, strict=True)):
            folded = fold.fold(node, arrays, opsets)
            if folded is not None:
                return tuple(constant_value(array) for array in folded)
        known = [
            array if array is not None else self.symbolic(value) for array, value in zip(arrays, values, strict=True)
        ]
        if any(entry is not None and entry.dtype == object for entry in known) and all(
            entry is not None or value is None for entry, value in zip(known, values, strict=True)
        ):
            entries = symbolic.evaluate(node, known)
            if entries is not None:
                return (self.make_symbolic(entries, node),)
        return None

    def _expand(self, function: onnx.FunctionProto, node: Node, values: Inputs) -> tuple[Value, ...]:
        if self._depth >= LIMITS.function_depth:
            raise InvalidModelError(
                f"{node}: at most {LIMITS.function_depth} functions within each other were expected"
            )
        opsets = {("" if entry.domain == "ai.onnx" else entry.domain): entry.version for entry in function.opset_import}
        scope: Scope = {name: values[index] for index, name in enumerate(function.input)}
        before = len(self._problems)
        self._depth += 1
        try:
            self.walk(functions.instantiate(function, node), scope, opsets)
        finally:
            self._depth -= 1
        if len(self._problems) > before:
            inner = self._problems[before:]
            del self._problems[before:]
            raise node.unsupported(
                "its function body needs " + "; ".join(f"{n.op_type}: {why}" for n, why in inner[:3])
            )
        return tuple(
            find_value(scope, name) if node.has_output(index) else None for index, name in enumerate(function.output)
        )

    def _is_known(self, node: Node) -> bool:
        key = (node.proto.domain, node.op_type, node.proto.overload)
        if key in self._functions or registry.find(node.domain, node.op_type, node.opset) is not None:
            return True
        try:
            schema = onnx.defs.get_schema(node.op_type, node.opset, node.domain)
        except onnx.defs.SchemaError:
            return False
        return bool(schema.has_function or schema.has_context_dependent_function)

    def _refuse_host_arrays(self, node: Node, values: Inputs) -> None:
        for index, value in enumerate(values):
            if isinstance(value, np.ndarray):
                raise node.unsupported(
                    f"input {index} ('{node.inputs[index]}') has dtype {value.dtype}; cast it in the model"
                )


def _is_unbound(value: Value) -> bool:
    return isinstance(value, tvm.ir.Call)


def _check_size(name: str, value: Value) -> None:
    """Refuses an intermediate tensor whose known dimensions are beyond the limits, however small the file is."""
    if isinstance(value, relax.Expr) and isinstance(value.ty, relax.TensorType) and value.ty.shape is not None:
        check_dimensions(name, [dim for dim in shape_of(value) if isinstance(dim, int)])


def _type_of(value: Value) -> onnx.TypeProto | None:
    """The ONNX type of a value; an empty one for None; None where it has no ONNX type."""
    if value is None:
        return onnx.TypeProto()
    if isinstance(value, np.ndarray):
        return onnx.helper.make_tensor_type_proto(onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
    if isinstance(value, list) or value.ty.shape is None:
        return None
    dims = [dim if isinstance(dim, int) else str(dim) for dim in shape_of(value)]
    return onnx.helper.make_tensor_type_proto(dtypes.element_type_of(str(value.ty.dtype)), dims)
