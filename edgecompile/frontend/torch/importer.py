"""The walk over an exported graph: each node through its converter, each binding named after its layer.

TVM has an importer of its own; it is not used because it answers wrongly without a word in many places (`alpha=` of
add, CELU, clamp_max, float16 products, indices of max pooling, boolean masks, negative indices; random numbers frozen).
"""

from __future__ import annotations

from typing import Any

import tvm
from torch import fx
from tvm import relax, tirx

from edgecompile.errors import EdgeCompileError, UnsupportedModelError
from edgecompile.frontend.torch import operators  # noqa: F401  (fills CONVERTERS)
from edgecompile.frontend.torch.context import Context
from edgecompile.frontend.torch.registry import CONVERTERS
from edgecompile.settings import LIMITS


def can_convert(node: fx.Node) -> bool:
    """True when a converter exists for the node's operator."""
    return key_of(node) in CONVERTERS


class GraphImporter:
    """Converts nodes one by one.

    Attributes:
        env: the Relax value of each node converted so far; a tuple for nodes with several results.
    """

    def __init__(self, builder: relax.BlockBuilder) -> None:
        self.env: dict[fx.Node, Any] = {}
        self._builder = builder
        self._base = ""

    def convert(self, node: fx.Node) -> None:
        """Converts one `call_function` node and remembers its value.

        Raises:
            UnsupportedModelError: the converter cannot express this form of the operator.
        """
        self._base = layer_of(node)
        context = Context(self, node, self._base)
        try:
            arguments = context.arguments() if hasattr(node.target, "_schema") else context.value(node.args)
            self.env[node] = self._bind(CONVERTERS[key_of(node)](context, arguments))
        except EdgeCompileError:
            raise
        except Exception as error:  # Relax reports what it cannot express in a dozen types, from KeyError to its own
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1][:200]
            raise UnsupportedModelError(
                f"{node.target} (node {node.name}, {self._base}) cannot be imported in this form: {reason}; "
                "replace the operator or its arguments in the model's forward"
            ) from error

    def emit(self, expression: relax.Expr) -> relax.Var:
        """Binds a helper value under the name `<layer>_<operator>`."""
        is_operator = isinstance(expression, tvm.ir.Call) and isinstance(expression.op, tvm.ir.Op)
        suffix = f"_{expression.op.name.rsplit('.', 1)[-1]}" if is_operator else ""
        return self._builder.emit(expression, self._base + suffix)

    def _bind(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(self._bind(item) for item in value)
        is_tensor = isinstance(value, relax.Expr) and not tvm.ir.is_prim_expr(value)
        if not is_tensor or isinstance(value, tvm.ir.Var):
            return value
        variable = self._builder.emit(value, self._base)
        _check_size(variable, self._base)
        return variable


def key_of(node: fx.Node) -> str:
    """The name under which the node's operator is registered: `conv2d.default`, or `mul` for symbolic arithmetic."""
    namespace = getattr(node.target, "namespace", "aten")
    name = node.target.__name__
    return str(name) if namespace == "aten" else f"{namespace}::{name}"


def layer_of(node: fx.Node) -> str:
    """A C-like name for the node: its module's path, with the node's name unless the module is one of torch.nn's."""
    stack = node.meta.get("nn_module_stack") or {}
    path, kind = next(reversed(stack.values())) if stack else ("", "")
    kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    path = f"layer_{path}" if path[:1].isdigit() else path
    path = path.replace(".", "_")
    if path and kind.startswith("torch.nn.modules."):
        return path
    return f"{path}_{node.name}" if path else node.name


def _check_size(value: relax.Var, base: str) -> None:
    """Refuses tensors that kernels could not index."""
    if not isinstance(value.ty, relax.TensorType) or value.ty.shape is None:
        return
    elements = 1
    for dim in value.ty.shape:
        elements *= int(dim) if isinstance(dim, tirx.IntImm) else 1
    if elements > LIMITS.tensor_elements:
        raise UnsupportedModelError(
            f"{base} makes a tensor of {elements} elements, more than the {LIMITS.tensor_elements} that kernels index; "
            "use a smaller input"
        )
