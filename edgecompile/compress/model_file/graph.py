"""TVM's JSON of a module, and the check of such a text from a stranger.

`tvm.ir.load_json` makes an object of any registered type by its name and sets its fields. A text is a list of nodes
that refer to each other by number:

    {"root_index": 4, "nodes": [..., {"type": "ir.Call", "data": {"span": 0, "op": 3, "args": 2, ...}}], ...}

So before TVM sees a text, each node must be of a type that a model of Relax operators needs, refer only to nodes before
it (a cycle would never end), be no deeper than `_DEPTH` (the reader recurses), and leave null only what may be null. No
tensor is in it: a constant is a number that stands for a weight. Only operators are called, none of which runs a
function by its name. That the parts fit each other is checked afterwards, see `signature.py`.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from edgecompile.errors import EdgeCompileError, InvalidModelError, UnsupportedModelError

if TYPE_CHECKING:
    import tvm
    from tvm_ffi.core import TypeField, TypeInfo

_DEPTH = 512  # branches within branches; a straight model has 20
_NODES = 4_000_000  # BERT-base has 10,000; 64 MB of text cannot hold more

_TENSOR = "ffi.Tensor"
_OPERATOR = "ir.Op"
_SCALARS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "ffi.String": (str,),
    "DataType": (str,),
    _TENSOR: (int,),
    _OPERATOR: (str,),
}
_SEQUENCES = frozenset({"ffi.Array", "ffi.Map"})
_OBJECTS = frozenset(
    f"{family}.{name}"
    for family, names in {
        "ir": (
            "Call",
            "DictAttrs",
            "FloatImm",
            "GenericConst",
            "GlobalVar",
            "IRModule",
            "IntImm",
            "PrimType",
            "SourceMap",
            "StringImm",
            "Tuple",
            "TupleGetItem",
            "TupleType",
            "Var",
        ),
        "relax": ("AnyType", "FuncType", "ShapeType", "TensorType"),
        "relax.expr": (
            "BindingBlock",
            "DataflowBlock",
            "DataflowVar",
            "Function",
            "If",
            "MatchCast",
            "SeqExpr",
            "ShapeExpr",
            "VarBinding",
        ),
        # Arithmetic on dimensions that are known at run time only.
        "prim": (
            "Add",
            "Cast",
            "Div",
            "EQ",
            "FloorDiv",
            "FloorMod",
            "GE",
            "GT",
            "LE",
            "LT",
            "Max",
            "Min",
            "Mod",
            "Mul",
            "NE",
            "Select",
            "Sub",
        ),
    }.items()
    for name in names
)
_ATTRIBUTES = re.compile(r"(relax|edgecompile)\.attrs\.[A-Za-z0-9]+")
_OPERATOR_NAME = re.compile(r"relax(\.[a-z0-9_]+)+")
_OWN_OPERATORS = frozenset({"edgecompile.quantize_rows", "edgecompile.decode"})  # those that check their arguments
# Operators that call a function by its name, touch memory, or leave the process.
_FORBIDDEN_OPERATOR = re.compile(
    r"relax\.((call|invoke|make_closure|print|assert|to_vdevice|hint_on)\w*|(vm|memory|builtin|ccl|dist|inspect)\..*)"
)
_BOOL, _INT, _FLOAT, _DTYPE = 2, 1, 3, 5  # `field_static_type_index` of what is written in place, not by reference
_IN_PLACE: dict[int, tuple[type, ...]] = {_BOOL: (bool,), _INT: (int,), _FLOAT: (int, float), _DTYPE: (str,)}
# Besides the fields that are declared optional.
_NULLABLE = frozenset({("ir.Call", "attrs")})


def save_graph(module: tvm.IRModule) -> bytes:
    """The text of a module whose tensors are scalars of int64.

    Raises:
        UnsupportedModelError: it has something that `load_graph` would refuse.
    """
    import tvm

    document = json.loads(tvm.ir.save_json(module))
    for node in document["nodes"]:
        if node["type"] == _TENSOR:
            node["data"] = struct.unpack("<q", base64.b64decode(node["data"])[-8:])[0]
    _check(document, UnsupportedModelError("the model cannot be written to a file"))
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode("ascii")


def load_graph(data: bytes, name: str) -> tvm.IRModule:
    """The module of a text by `save_graph`; `name` is that of its file, for errors.

    Raises:
        InvalidModelError: it is no such text.
    """
    import tvm

    from edgecompile.integer import operators as integer_operators
    from edgecompile.storage import operators as storage_operators

    integer_operators.register()
    storage_operators.register()
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidModelError(f"{name}: the module is no JSON; compress the model again") from error
    _check(document, InvalidModelError(f"{name}: the module is malformed"))
    prefix = base64.b64decode(_scalar_tensor())[:-8]
    for node in document["nodes"]:
        if node["type"] == _TENSOR:
            node["data"] = base64.b64encode(prefix + struct.pack("<q", node["data"])).decode("ascii")
    try:
        module = tvm.ir.load_json(json.dumps(document))
    except Exception as error:  # TVM raises what it likes
        raise InvalidModelError(
            f"{name}: the module cannot be read: {str(error).strip().splitlines()[-1]:.200}; compress the model again"
        ) from error
    if not isinstance(module, tvm.IRModule):
        raise InvalidModelError(f"{name}: the module is a {type(module).__name__}; compress the model again")
    return module


def _scalar_tensor() -> str:
    """TVM's text of a scalar of int64: its number is the last 8 bytes."""
    import numpy as np
    import tvm

    (node,) = json.loads(tvm.ir.save_json(tvm.runtime.tensor(np.array(0, np.int64))))["nodes"]
    return str(node["data"])


def _check(document: Any, problem: EdgeCompileError) -> None:
    """Refuse what the head of this file says; the error is `problem` and the reason."""
    try:
        _check_nodes(document)
    except ValueError as error:
        raise type(problem)(f"{problem}: {error}") from error


def _check_nodes(document: Any) -> None:
    nodes = document.get("nodes") if isinstance(document, dict) else None
    if not isinstance(nodes, list) or document.keys() - {"nodes", "root_index", "metadata"} or len(nodes) > _NODES:
        raise ValueError("a list of nodes was needed")
    if not _is(document.get("root_index"), (int,)) or not 0 <= document["root_index"] < len(nodes):
        raise ValueError("the root is none of the nodes")
    depths: list[int] = []
    for index, node in enumerate(nodes):
        if not isinstance(node, dict) or not isinstance(node.get("type"), str) or node.keys() - {"type", "data"}:
            raise ValueError(f"node {index} is no node")
        depth = 0
        for child in _children(node, nodes, index):
            if not _is(child, (int,)) or not 0 <= child < index:
                raise ValueError(f"node {index} must refer to nodes before it, found {child!r:.40}")
            depth = max(depth, depths[child] + 1)
        if depth > _DEPTH:
            raise ValueError(f"at most {_DEPTH} levels are read")
        depths.append(depth)


def _children(node: dict[str, Any], nodes: list[dict[str, Any]], index: int) -> Iterator[Any]:
    """What a node refers to; each is checked by the caller as it comes, and may then be looked at."""
    kind: str = node["type"]
    data = node.get("data")
    if kind == "None" and data is None:
        return
    if kind in _SCALARS:
        if not _is(data, _SCALARS[kind]):
            raise ValueError(f"node {index} ({kind}) holds {data!r:.40}")
        if kind == _TENSOR and int(data or 0) not in range(_NODES):
            raise ValueError(f"there is no constant {data}")
        if kind == _OPERATOR and not _is_operator(str(data)):
            raise ValueError(f"the operator {data!r:.60} is not read from files")
    elif kind in _SEQUENCES:
        if not isinstance(data, list):
            raise ValueError(f"node {index} ({kind}) is no list")
        for child in data:
            yield child
            if nodes[child]["type"] == "None":
                raise ValueError(f"node {index} ({kind}) holds nothing at one place")
    elif kind in _OBJECTS or _ATTRIBUTES.fullmatch(kind):
        yield from _references(kind, data, nodes)
    else:
        raise ValueError(f"nodes of the type {kind!r:.60} are not read from files")


def _is_operator(name: str) -> bool:
    if name in _OWN_OPERATORS:
        return True
    return _OPERATOR_NAME.fullmatch(name) is not None and _FORBIDDEN_OPERATOR.fullmatch(name) is None


def _references(kind: str, data: Any, nodes: list[dict[str, Any]]) -> Iterator[Any]:
    """The fields of an object that refer to other nodes."""
    fields = _fields(kind)
    if not isinstance(data, dict) or data.keys() != fields.keys():
        raise ValueError(f"a node of the type {kind} needs the fields {', '.join(fields)}")
    for name, value in data.items():
        in_place = _IN_PLACE.get(fields[name].field_static_type_index)
        if in_place is not None:
            if not _is(value, in_place):
                raise ValueError(f"the field {name!r} of a node of the type {kind} holds {value!r:.40}")
            continue
        yield value
        found = nodes[value]["type"]
        if found == "None" and not _may_be_null(kind, fields[name]):
            raise ValueError(f"the field {name!r} of a node of the type {kind} is empty")
        if (kind, name) == ("ir.Call", "op") and found != _OPERATOR:
            raise ValueError(f"a call of an operator was needed, found one of a node of the type {found}")


def _may_be_null(kind: str, field: TypeField) -> bool:
    return field.name == "span" or (kind, field.name) in _NULLABLE or str(field.ty).endswith("| None")


@cache
def _fields(kind: str) -> dict[str, TypeField]:
    """The fields of a type that TVM knows, with those of the types that it is made from."""
    import tvm  # noqa: F401  # registers the types
    from tvm_ffi.core import _lookup_or_register_type_info_from_type_key

    try:
        information: TypeInfo | None = _lookup_or_register_type_info_from_type_key(kind)
    except Exception as error:
        raise ValueError(f"nodes of the type {kind!r:.60} are unknown") from error
    found: dict[str, TypeField] = {}
    while information is not None:
        found.update({field.name: field for field in information.fields or ()})
        information = information.parent_type_info
    return found


def _is(value: object, types: tuple[type, ...]) -> bool:
    """`isinstance` where a bool is no number."""
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))
