"""Checks the graph in a `.pt2` archive before PyTorch turns strings from it into Python."""

from __future__ import annotations

import ast
import re
from typing import Any

from edgecompile.errors import InvalidModelError
from edgecompile.settings import LIMITS

# What PyTorch prints into shape expressions: SymPy's and its own functions of integers.
_FUNCTIONS = frozenset(
    {
        "Symbol",
        "Integer",
        "Rational",
        "Float",
        "Max",
        "Min",
        "Mod",
        "Abs",
        "Add",
        "Mul",
        "Eq",
        "Ne",
        "Lt",
        "Le",
        "Gt",
        "Ge",
        "And",
        "Or",
        "Not",
        "FloorDiv",
        "PythonMod",
        "CleanDiv",
        "CeilDiv",
        "ModularIndexing",
        "Where",
        "FloorToInt",
        "CeilToInt",
        "TruncToInt",
        "RoundToInt",
        "ToFloat",
        "IntTrueDiv",
        "FloatTrueDiv",
        "Identity",
        "Piecewise",
    }
)
_NODES = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.Call,
    ast.keyword,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.FloorDiv,
    ast.Mod,
    ast.USub,
    ast.UAdd,
    ast.And,
    ast.Or,
    ast.Not,
    ast.Eq,
    ast.NotEq,
    ast.Lt,
    ast.LtE,
    ast.Gt,
    ast.GtE,
    ast.BitAnd,
    ast.BitOr,
    ast.Invert,
    ast.Tuple,
)
_TARGET = re.compile(
    r"torch\.ops\.[A-Za-z_]\w*\.\w+(\.\w+)?|_operator\.[a-z]+|math\.[a-z]+|torch\.sym_[a-z]+|torch\._sym_\w+", re.ASCII
)
_NAME = re.compile(r"[A-Za-z_]\w*|", re.ASCII)
_NAME_KEYS = frozenset({"name", "as_name", "graph_name"})
_FREE_TEXT = frozenset({"metadata", "stack_trace", "as_string", "as_strings", "doc"})
_IMPORTING = ("default_factory_module", "__enum__", "\\u")
_DEPTH = 200


def check_program(path: str, document: Any) -> None:
    """Walks the whole document.

    Raises:
        InvalidModelError: a name, an operator or an expression is other than PyTorch writes them.
    """
    nodes = document["graph_module"]["graph"]["nodes"]
    if len(nodes) > LIMITS.nodes:
        raise InvalidModelError(
            f"{path} has {len(nodes)} nodes, more than the limit of {LIMITS.nodes}; split the model"
        )
    for node in nodes:
        _require(_TARGET.fullmatch(node["target"]) is not None, path, "operator", node["target"])
    _walk(path, document, "", 0)


def _walk(path: str, value: Any, key: str, depth: int) -> None:
    _require(depth < _DEPTH, path, "nesting", key)
    if isinstance(value, dict):
        for child_key, child in value.items():
            if child_key not in _FREE_TEXT:
                _walk(path, child, child_key, depth + 1)
            if key == "tensor_values" or key.endswith("_values"):
                _require(_NAME.fullmatch(child_key) is not None, path, "name", child_key)
    elif isinstance(value, list):
        for child in value:
            _walk(path, child, key, depth + 1)
    elif isinstance(value, str):
        _check_text(path, key, value)


def _check_text(path: str, key: str, text: str) -> None:
    if key in _NAME_KEYS:
        _require(_NAME.fullmatch(text) is not None, path, "name", text)
    elif key == "expr_str":
        _require(_is_plain_expression(text), path, "shape expression", text)
    elif key == "guards_code":
        return  # never executed: the reader drops them
    else:
        _require(not any(marker in text for marker in _IMPORTING), path, "container", text)


def _is_plain_expression(text: str) -> bool:
    """True for arithmetic on symbols and numbers, with PyTorch's functions only."""
    if len(text) > 4096:
        return False
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            return False
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS):
            return False
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _NAME.fullmatch(node.value) is None:
            return False
    return True


def _require(condition: bool, path: str, what: str, text: str) -> None:
    if not condition:
        raise InvalidModelError(
            f"{path} has the {what} {text[:80]!r}, which torch.export.save does not write; the file is damaged or "
            "unsafe"
        )
