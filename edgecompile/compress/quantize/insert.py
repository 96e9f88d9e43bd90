"""Quantize and dequantize put around the operators that shall run in integers: pure in module, ranges and schemes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import tvm
from tvm import relax
from tvm_ffi.structural import structural_mutate

from edgecompile.compress.quantize.edges import Edges
from edgecompile.compress.quantize.masks import masked_softmax
from edgecompile.compress.quantize.scale import Affine, affine
from edgecompile.compress.quantize.weights import IntegerWeight
from edgecompile.decision import Decision
from edgecompile.integer import operators
from edgecompile.integer.layer_norm import LayerNormNumbers
from edgecompile.integer.softmax import SoftmaxNumbers


class TensorRange(Protocol):
    """What calibration says of a tensor: the real values that its integers span."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


@dataclass(frozen=True)
class ProductScheme:
    """How one convolution or matrix product is quantized.

    Attributes:
        weight: its integers; None for a product of two activations.
        symmetric_activations: the zero point of its input is zero.
        activation_bits: of its input; 16 have the zero point zero.
        scales: of its input: "static" ones are known from its range, others are found at run time.
    """

    weight: IntegerWeight | None
    symmetric_activations: bool = False
    activation_bits: Literal[8, 16] = 8
    scales: Literal["static", "per_row", "per_tensor"] = "static"


STEP = "InsertQuantization"
_UNIT = affine(0.0, 1.0)  # of probabilities


def insert_quantization(
    module: tvm.IRModule,
    ranges: Mapping[str, TensorRange],
    schemes: Mapping[str, ProductScheme],
    decisions: list[Decision],
    integer: Collection[str] = (),
) -> tvm.IRModule:
    """The module in QDQ form.

        conv2d(x, w) + b   ->   conv2d(dequantize(quantize(x)), dequantize(w_int8)) + b
        matmul(x, w)       ->   matmul(astype(q) * scales, dequantize(w_int8)),   q, scales = quantize_rows(x)

    The second where scales are found at run time; a tensor that several products read so is quantized once.
    Also quantized is what stands between quantized products and can stay integer: residual sums, poolings,
    concatenations. The model's results stay float.

    Args:
        module: after `simplify_model`; its `main` is one dataflow block.
        ranges: by the variable's name; a tensor that is missing keeps its readers float.
        schemes: by the name of the variable that holds the product; a product that is missing stays float.
        decisions: receives one for each product and each joining operator.
        integer: the names of softmax and layer normalizations that shall compute in integers alone.
    """
    main = module["main"]
    dynamic = [name for name, scheme in schemes.items() if scheme.scales != "static"]
    masked = masked_softmax(main, ranges, integer)
    decisions += [Decision(STEP, name, False, f"stays float: {reason}") for name, reason in masked.items()]
    edges = Edges.of(main, ranges.keys(), schemes.keys(), dynamic, [name for name in integer if name not in masked])
    decisions += [Decision(STEP, name, kept, reason) for name, kept, reason in edges.reasons]
    others = {variable: function for variable, function in module.functions_items() if variable.name_hint != "main"}
    builder = relax.BlockBuilder(tvm.IRModule(others))
    writer = _Writer(builder, ranges, schemes, edges)
    with builder.function("main", list(main.params), attrs=dict(main.attrs) if main.attrs else None):
        with builder.dataflow():
            for parameter in main.params:
                writer.bind(parameter, parameter)
            for binding in main.body.blocks[0].bindings:
                writer.bind(binding.var, builder.emit(writer.value(binding), name_hint=binding.var.name))
            output = builder.emit_output(writer.renewed(main.body.body))
        builder.emit_func_output(output)
    inserted = builder.get()
    return inserted.with_attrs(dict(module.attrs)) if module.attrs else inserted


class _Writer:
    def __init__(
        self,
        builder: relax.BlockBuilder,
        ranges: Mapping[str, TensorRange],
        schemes: Mapping[str, ProductScheme],
        edges: Edges,
    ) -> None:
        self._builder, self._ranges, self._schemes, self._edges = builder, ranges, schemes, edges
        self._new: dict[relax.Var, relax.Expr] = {}
        self._real: dict[relax.Var, relax.Expr] = {}
        self._integers: set[relax.Var] = set()  # dequantized integers already
        self._rows: dict[tuple[relax.Var, int], relax.Expr] = {}

    def bind(self, old: relax.Var, value: relax.Expr) -> None:
        """The new value of a variable, through quantize and dequantize where it is an edge."""
        self._real[old] = value
        is_rounded = old in self._edges.quantized and old not in self._integers
        self._new[old] = self._rounded(old, value) if is_rounded else value

    def renewed(self, value: relax.Expr) -> relax.Expr:
        """A value in the new variables."""

        def on_variable(variable: tvm.ir.Var, mutator: Any) -> relax.Expr:
            del mutator
            return self._new.get(variable, variable)

        return structural_mutate(value, ((tvm.ir.Var, on_variable),))

    def value(self, binding: relax.VarBinding) -> relax.Expr:
        """The new value of a binding; a quantized product reads its weight from int8."""
        if binding.var in self._edges.integer:
            return self._by_integers(binding)
        if binding.var not in self._edges.products:
            return self.renewed(binding.value)
        call = binding.value
        scheme = self._schemes[binding.var.name]
        if scheme.weight is None:
            return self.renewed(call)
        axis = 0 if call.op.name == "relax.nn.conv2d" else 1
        x = self._by_rows(call.args[0], scheme) if binding.var in self._edges.dynamic else self.renewed(call.args[0])
        return relax.Call(call.op, [x, self._weight(scheme.weight, axis)], call.attrs)

    def _by_integers(self, binding: relax.VarBinding) -> relax.Expr:
        """Softmax or a layer normalization from int8 to int8; in float, rounded, where the numbers leave 32 bits.

        Also in float where its tensors have 16 bits, for the sake of a product.
        """
        call, old = binding.value, binding.var
        x, *tables = call.args
        source = self._edges.source_of(x)
        if max(self._bits(source), self._bits(old)) > 8:
            return self.renewed(call)
        read, written = self._grid(source), self._grid(old)
        found: SoftmaxNumbers | LayerNormNumbers | None
        if call.op.name == "relax.nn.softmax":
            written = _UNIT
            found = SoftmaxNumbers.of(read.scale, written.scale, written.zero_point, int(call.ty.shape.values[-1]))
        else:
            gamma, beta = (table.value.numpy() for table in tables)
            found = LayerNormNumbers.of(
                read.scale, gamma, beta, float(call.attrs.epsilon), written.scale, written.zero_point
            )
        if found is None:
            return self.renewed(call)
        integers = self._builder.emit(_quantized(self.renewed(x), read), name_hint=f"{old.name}_input")
        form = (
            operators.softmax(integers, found)
            if isinstance(found, SoftmaxNumbers)
            else operators.layer_norm(integers, found)
        )
        self._integers.add(old)
        result = self._builder.emit(form, name_hint=f"{old.name}_int8")
        return self._dequantized(result, np.float32(written.scale), np.int8(written.zero_point), 0)

    def _by_rows(self, old: relax.Var, scheme: ProductScheme) -> relax.Expr:
        """A tensor through int8 with scales that are found at run time."""
        shared = 1 if scheme.scales == "per_row" else len(old.ty.shape.values)
        if (old, shared) not in self._rows:
            pair = self._builder.emit(
                operators.quantize_rows(self._real[old], shared_axes=shared), name_hint=f"{old.name}_rows"
            )
            integers = self._builder.emit(relax.TupleGetItem(pair, 0), name_hint=f"{old.name}_int8")
            scales = self._builder.emit(relax.TupleGetItem(pair, 1), name_hint=f"{old.name}_scales")
            wide = self._builder.emit(relax.op.astype(integers, "float32"))
            self._rows[old, shared] = self._builder.emit(relax.op.multiply(wide, scales))
        return self._rows[old, shared]

    def _weight(self, weight: IntegerWeight, axis: int) -> relax.Var:
        scales, zero_points = weight.grid.scales.squeeze(), weight.grid.zero_points.squeeze()
        return self._dequantized(relax.const(weight.integers, "int8"), scales, zero_points, axis)

    def _rounded(self, old: relax.Var, value: relax.Expr) -> relax.Var:
        dtype = f"int{self._bits(old)}"
        grid = self._grid(old)
        integers = self._builder.emit(_quantized(value, grid, dtype), name_hint=f"{old.name}_{dtype}")
        return self._dequantized(integers, np.float32(grid.scale), np.dtype(dtype).type(grid.zero_point), 0)

    def _bits(self, old: relax.Var) -> int:
        """As the product says that decides about the tensor; what none reads, as few as any has."""
        decider = self._schemes.get(self._edges.deciders[old.name])
        if decider is not None:
            return decider.activation_bits
        return min((scheme.activation_bits for scheme in self._schemes.values()), default=8)

    def _grid(self, old: relax.Var) -> Affine:
        found, bits = self._ranges[old.name], self._bits(old)
        if bits == 8 and not self._edges.is_symmetric(old, self._schemes):
            return affine(found.low, found.high)
        largest = max(abs(found.low), abs(found.high))
        scale = float(np.float32(largest / (2 ** (bits - 1) - 1)))
        return Affine(scale if scale > 0 else 1.0, 0)

    def _dequantized(
        self, integers: relax.Expr, scales: np.ndarray | np.float32, zero_points: np.ndarray | np.integer, axis: int
    ) -> relax.Var:
        parameters = relax.const(scales, "float32"), relax.const(zero_points, str(zero_points.dtype))
        call = relax.op.dequantize(integers, *parameters, axis=axis, out_dtype="float32")
        return self._builder.emit(call)


def _quantized(value: relax.Expr, grid: Affine, dtype: str = "int8") -> relax.Call:
    scale, zero_point = np.float32(grid.scale), np.dtype(dtype).type(grid.zero_point)
    return relax.op.quantize(
        value, relax.const(scale, "float32"), relax.const(zero_point, dtype), axis=0, out_dtype=dtype
    )
