"""Turn operators between dequantize and quantize into integer operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision

if TYPE_CHECKING:
    import tvm
    from tvm import relax

    from edgecompile.passes.integers.graph import Graph


@dataclass(frozen=True)
class FuseIntegerOperators:
    """Compute what stands between dequantize and quantize in integers.

        quantize(relu(conv2d(dequantize(x), dequantize(w)) + b))   ->   requantize(edgecompile.conv2d(x, w, b'))

    The group's real function stays; its result is rounded once, from exact integer sums. A product whose result nothing
    quantizes becomes integer sums times their scale; so does one of rows that have scales of their own, found at run
    time. Groups of another kind stay as float operators between their conversions, and a decision says so.
    """

    name: str = "FuseIntegerOperators"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        import tvm
        from tvm import relax

        from edgecompile.passes.integers.graph import Graph
        from edgecompile.passes.layouts.problem import why_not_plannable

        main = module["main"]
        if not _has_quantization(main):
            return module
        reason = why_not_plannable(main)
        if reason is not None:
            decisions.append(Decision(self.name, "main", False, reason))
            return module
        others = {variable: function for variable, function in module.functions_items() if variable.name_hint != "main"}
        builder = relax.BlockBuilder(tvm.IRModule(others))
        graph = Graph(main, builder)
        with builder.function("main", list(main.params), attrs=dict(main.attrs) if main.attrs else None):
            with builder.dataflow():
                for binding in main.body.blocks[0].bindings:
                    value = self._rewritten(binding, graph, decisions)
                    graph.bind(binding.var, graph.emit(value, binding.var.name))
                output = builder.emit_output(graph.renewed(main.body.body))
            builder.emit_func_output(output)
        rewritten = builder.get()
        return rewritten.with_attrs(dict(module.attrs)) if module.attrs else rewritten

    def _rewritten(self, binding: relax.VarBinding, graph: Graph, decisions: list[Decision]) -> relax.Expr:
        from tvm import relax

        from edgecompile.passes.integers.dynamic_products import centred_product, row_product
        from edgecompile.passes.integers.products import float_product
        from edgecompile.passes.integers.signs import signed_dequantize, signed_quantize
        from edgecompile.passes.integers.word_products import word_product

        variable = binding.var
        call = graph.call(variable, "quantize")
        if call is None:
            products = (form(variable, graph) for form in (float_product, row_product, word_product, centred_product))
            found = next((product for product in products if product is not None), None)
            found = signed_dequantize(variable, graph) if found is None else found
            return graph.renewed(binding.value) if found is None else found
        found = _integer_form(call, graph)
        if found is None:
            if str(call.ty.dtype) != "int16":  # those are rounded in float by design, see `word_products`
                reason = f"quantizes the float result of {_producer(call, graph)}"
                decisions.append(Decision(self.name, variable.name, False, reason))
            found = signed_quantize(call, graph)
            if found is None:
                return graph.renewed(binding.value)
        if str(call.ty.dtype) == "int8":
            return found
        signed = graph.emit(found, f"{variable.name}_signed")
        graph.keep_signed(variable, signed)
        wide = graph.emit(
            relax.op.add(graph.emit(relax.op.astype(signed, "int32"), "wide"), relax.const(128, "int32")), "wide"
        )
        return relax.op.astype(wide, "uint8")


def _integer_form(call: relax.Call, graph: Graph) -> relax.Expr | None:
    from tvm import relax

    from edgecompile.passes.integers import averages, channels, others, pairs, products, tables
    from edgecompile.passes.integers.output import read_output

    output = read_output(call, graph)
    if output is None:
        return None
    forms = (
        products.requantized_product,
        others.rescaled,
        tables.looked_up,
        pairs.added,
        pairs.multiplied,
        channels.scaled_channels,
        averages.averaged,
        averages.resampled,
        others.joined,
    )
    found = next((found for form in forms if (found := form(output, graph)) is not None), None)
    if found is None or output.most is None:
        return found
    # Rounding is monotonic: the bounds of channels may as well be those of the integers.
    return relax.op.minimum(graph.emit(found, "unbounded"), relax.const(output.most, "int8"))


def _has_quantization(main: relax.Function) -> bool:
    import tvm
    from tvm_ffi.structural import structural_walk

    found = False

    def visit(call: tvm.ir.Call) -> None:
        nonlocal found
        found = found or getattr(call.op, "name", "") in ("relax.quantize", "relax.dequantize")

    structural_walk(main.body, (tvm.ir.Call, visit))
    return found


def _producer(call: relax.Call, graph: Graph) -> str:
    import tvm

    source = call.args[0]
    value = graph.definition(source)
    if value is None:
        return "an input"
    return str(value.op.name).removeprefix("relax.") if isinstance(getattr(value, "op", None), tvm.ir.Op) else "a value"
