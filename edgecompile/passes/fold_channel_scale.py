"""Fold factors and offsets of channels behind a convolution into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision

if TYPE_CHECKING:
    import numpy as np
    import tvm
    from tvm import relax

    from edgecompile.passes.channel_affine import ChannelAffine
    from edgecompile.passes.integers.graph import Graph


@dataclass(frozen=True)
class FoldChannelScale:
    """Scale the weights of a convolution instead of its result.

        (conv2d(x, w) + b) * f + o   ->   conv2d(x, w * f) + (b * f + o)

    f and o are constants, a number for each channel; what else there is of them, one after the other, is folded too.
    Products are taken in float64. Where another reader needs a result between, only what stands behind it is folded.
    """

    name: str = "FoldChannelScale"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        import tvm
        from tvm import relax

        from edgecompile.passes.integers.graph import Graph
        from edgecompile.passes.layouts.problem import why_not_plannable

        main = module["main"]
        if why_not_plannable(main) is not None:
            return module
        others = {variable: function for variable, function in module.functions_items() if variable.name_hint != "main"}
        builder = relax.BlockBuilder(tvm.IRModule(others))
        graph = Graph(main, builder)
        ends = _folds(main, graph)
        if not ends:
            return module
        bases = {fold.base: fold for fold in ends.values()}
        between = {variable for fold in ends.values() for variable in fold.between}
        with builder.function("main", list(main.params), attrs=dict(main.attrs) if main.attrs else None):
            with builder.dataflow():
                for binding in main.body.blocks[0].bindings:
                    variable, value = binding.var, binding.value
                    if variable in between:
                        continue
                    if variable in bases:
                        decisions.append(
                            Decision(self.name, variable.name, True, "factors of channels folded into its weights")
                        )
                        renewed = _scaled(value, bases[variable], graph)
                    elif variable in ends:
                        renewed = _offset(ends[variable], graph)
                    else:
                        renewed = graph.renewed(value)
                    graph.bind(variable, graph.emit(renewed, variable.name))
                output = builder.emit_output(graph.renewed(main.body.body))
            builder.emit_func_output(output)
        rewritten = builder.get()
        return rewritten.with_attrs(dict(module.attrs)) if module.attrs else rewritten


def _folds(main: relax.Function, graph: Graph) -> dict[relax.Var, ChannelAffine]:
    """By the last result of each chain, what of it goes into a convolution."""
    import numpy as np

    from edgecompile.passes.channel_affine import read_channel_affine

    found: dict[relax.Var, ChannelAffine] = {}
    seen: set[relax.Var] = set()
    for binding in reversed(main.body.blocks[0].bindings):
        variable = binding.var
        if variable in seen:
            continue
        affine = read_channel_affine(
            variable, lambda value: graph.call(value, "add", "subtract", "multiply", "divide"), graph.is_used_once
        )
        if affine is None:
            continue
        seen.update(affine.between)
        if np.any(affine.factor != 1) and graph.is_used_once(affine.base) and _is_foldable(affine, graph):
            found[variable] = affine
    return found


def _is_foldable(affine: ChannelAffine, graph: Graph) -> bool:
    """True behind a convolution whose weights are known and stay finite."""
    import numpy as np
    import tvm

    call = graph.call(affine.base, "nn.conv2d")
    if call is None or not isinstance(call.args[1], tvm.ir.GenericConst) or str(call.args[1].ty.dtype) != "float32":
        return False
    if (str(call.attrs.data_layout), str(call.attrs.kernel_layout)) != ("NCHW", "OIHW"):
        return False
    with np.errstate(over="ignore"):
        return bool(np.isfinite(_weight(call, affine)).all() and np.isfinite(affine.offset.astype(np.float32)).all())


def _weight(call: relax.Call, affine: ChannelAffine) -> np.ndarray:
    import numpy as np

    weight = call.args[1].value.numpy().astype(np.float64)
    return np.asarray(weight * affine.factor.reshape(-1, 1, 1, 1)).astype(np.float32)


def _scaled(call: relax.Call, affine: ChannelAffine, graph: Graph) -> relax.Call:
    from tvm import relax

    weight = relax.const(_weight(call, affine), "float32")
    return relax.Call(call.op, [graph.renewed(call.args[0]), weight], call.attrs)


def _offset(affine: ChannelAffine, graph: Graph) -> relax.Expr:
    import numpy as np
    from tvm import relax

    base = graph.renewed(affine.base)
    if not affine.offset.any():
        return base
    return relax.op.add(base, relax.const(affine.offset.astype(np.float32).reshape(1, -1, 1, 1), "float32"))
